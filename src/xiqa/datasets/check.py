"""A look at a data set before anything is trained on it: what is there, what is broken, what leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from xiqa.datasets.collection import SPLITS, Collection, leaking_patients
from xiqa.datasets.sample import Sample
from xiqa.errors import ImageReadError
from xiqa.types import Annotation, FloatArray, Image

__all__ = ["DatasetReport", "Duplicate", "check_dataset", "near_duplicates", "perceptual_hash", "thumbnail"]

THUMBNAIL = 64
HASH_SIDE = 16
# Frontal chest radiographs are alike, so a hash only proposes; the correlation of thumbnails decides.
HASH_DISTANCE = 30
CORRELATION = 0.995


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two images that look the same, and how much (correlation of their thumbnails)."""

    first: str
    second: str
    splits: tuple[str, str]
    correlation: float


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What `check_dataset` found.

    Attributes:
        name: Layout of the data set.
        counts: Images by (split, class name).
        sizes: Images by (rows, columns).
        annotations: Objects by kind.
        missing: Keys whose file is absent.
        broken: Keys that cannot be read, with the reason.
        outside: Keys with an annotation that reaches more than a pixel out of the image.
        leaks: Patients in several splits, with those splits.
        duplicates: Near-duplicates across splits.
        notes: What the reader assumed.
    """

    name: str
    counts: dict[tuple[str, str], int]
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    annotations: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    outside: list[str] = field(default_factory=list)
    leaks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    duplicates: list[Duplicate] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @property
    def leaky(self) -> bool:
        """Whether the same patient or the same picture lies in two splits."""
        return bool(self.leaks or self.duplicates)


def thumbnail(image: Image, side: int = THUMBNAIL) -> FloatArray:
    """``(side, side)`` block means of the grey image, standardised."""
    grey = image.pixels if image.pixels.ndim == 2 else image.pixels.mean(axis=2)
    edges = [np.linspace(0, n, side + 1).astype(int)[:-1] for n in grey.shape]
    sums = np.add.reduceat(np.add.reduceat(grey, edges[0], axis=0), edges[1], axis=1)
    ones = [np.diff([*edge, n]) for edge, n in zip(edges, grey.shape, strict=True)]
    small = sums / np.maximum(np.outer(*ones), 1)
    return np.asarray((small - small.mean()) / (small.std() + 1e-6), np.float32)


def perceptual_hash(small: FloatArray) -> NDArray[np.uint8]:
    """256 bits: which of the 16 x 16 lowest cosine coefficients lie above their median.

    Source: ``zauner2010implementation``.
    """
    low = dctn(small, norm="ortho")[:HASH_SIDE, :HASH_SIDE].ravel()
    return np.packbits(low > np.median(low[1:]))


def near_duplicates(
    samples: Sequence[Sample], thumbnails: Sequence[FloatArray], *, correlation: float = CORRELATION
) -> list[Duplicate]:
    """Pairs of different splits that look the same.

    Args:
        samples: The images' samples.
        thumbnails: Their thumbnails.
        correlation: Least correlation of two thumbnails that counts as the same picture.

    Returns:
        The pairs, most alike first.
    """
    hashes = np.array([perceptual_hash(small) for small in thumbnails])
    splits = np.array([SPLITS.index(sample.split) for sample in samples])
    flat = np.array([small.ravel() for small in thumbnails])
    problems = []
    for index in range(len(samples)):
        others = np.flatnonzero(splits[index + 1 :] != splits[index]) + index + 1
        bits = np.bitwise_count(hashes[others] ^ hashes[index]).sum(axis=1, dtype=int)
        for other in others[bits <= HASH_DISTANCE]:
            alike = float(flat[index] @ flat[other] / flat.shape[1])
            if alike >= correlation:
                a, b = samples[index], samples[other]
                problems.append(Duplicate(a.key, b.key, (a.split, b.split), alike))
    return sorted(problems, key=lambda pair: -pair.correlation)


def check_dataset(
    collection: Collection, on_image: Callable[[Sample, Image | None], None] | None = None
) -> DatasetReport:
    """Open every image once and tell what is there.

    Args:
        collection: The data set.
        on_image: Called with each sample and its image (None when it cannot be read), for a progress bar
            or a contact sheet.

    Returns:
        The report; nothing is raised for a broken image.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    missing, broken, outside = [], {}, []
    readable, thumbnails = [], []
    for sample in collection.samples:
        image = None
        if sample.source is None and not sample.path.is_file():
            missing.append(sample.key)
        else:
            try:
                image = sample.read()
            except ImageReadError as error:
                broken[sample.key] = str(error)
        if image is not None:
            sizes[image.size] += 1
            readable.append(sample)
            thumbnails.append(thumbnail(image))
            if any(_reaches_out(annotation, image) for annotation in sample.annotations):
                outside.append(sample.key)
        if on_image:
            on_image(sample, image)
    leaks = leaking_patients(collection.samples)
    return DatasetReport(
        name=collection.name,
        counts=dict(Counter((s.split, collection.classes[s.label]) for s in collection.samples)),
        sizes=dict(sizes.most_common()),
        annotations=dict(Counter(a.kind for s in collection.samples for a in s.annotations).most_common()),
        missing=missing,
        broken=broken,
        outside=outside,
        leaks={patient: tuple(sorted(splits)) for patient, splits in leaks.items()},
        duplicates=near_duplicates(readable, thumbnails),
        notes=collection.notes,
    )


def _reaches_out(annotation: Annotation, image: Image) -> bool:
    """Whether a box leaves the image by more than a pixel, which corners told as edges may do."""
    x0, y0, x1, y1 = annotation.box
    return min(x0, y0) < -1 or x1 > image.width or y1 > image.height
