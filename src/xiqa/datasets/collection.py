"""A data set as a whole: its classes, its samples, and what must hold between its splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xiqa.datasets.sample import Sample
from xiqa.errors import DatasetError
from xiqa.types import Split

__all__ = ["SPLITS", "Collection", "assign_splits", "leaking_patients", "require_no_leak"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """A data set that was read.

    Attributes:
        name: The layout it has (``object-cxr``, ``nih-chestxray14``, ...).
        classes: Names of the labels, in their order.
        samples: Its images.
        notes: What a reader assumed or left out.
    """

    name: str
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()


def assign_splits(
    patients: Sequence[str],
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    labels: Sequence[int] | None = None,
) -> list[Split]:
    """A split for every image, such that all images of a patient share one.

    Patients are shuffled and handed out one by one to the split that lacks most images, so that the
    fractions hold for images as nearly as whole patients allow; with labels so in each class by itself. A
    patient with images of several classes counts for the rarest of them.

    Args:
        patients: The patient of each image.
        fractions: Wanted parts of train, val and test; they need not sum to one.
        seed: Of the shuffle.
        labels: The class of each image, to have every class in every split.

    Returns:
        One split an image.

    Raises:
        DatasetError: If a fraction is negative or none is positive.

    >>> splits = assign_splits(["a", "a", "b", "c", "d"] * 2, (0.6, 0.2, 0.2))
    >>> splits[0] == splits[1] == splits[5]
    True
    """
    wanted = np.asarray(fractions, float)
    if len(wanted) != len(SPLITS) or (wanted < 0).any() or wanted.sum() == 0:
        raise DatasetError("wrong fractions", expected="three numbers from 0 on", got=str(tuple(fractions)))
    images_of: dict[str, list[int]] = defaultdict(list)
    for index, patient in enumerate(patients):
        images_of[patient].append(index)
    rng = np.random.default_rng(seed)
    splits: list[Split] = ["train"] * len(patients)
    for stratum in _strata(images_of, labels):
        rng.shuffle(stratum)
        _hand_out(stratum, images_of, wanted / wanted.sum(), splits)
    return splits


def _strata(images_of: dict[str, list[int]], labels: Sequence[int] | None) -> list[list[str]]:
    """The patients of each class, sorted; all of them together without labels."""
    if labels is None:
        return [sorted(images_of)]
    counts = Counter(labels)
    strata: dict[int, list[str]] = defaultdict(list)
    for patient in sorted(images_of):
        strata[min((labels[index] for index in images_of[patient]), key=lambda c: (counts[c], c))].append(
            patient
        )
    return [strata[label] for label in sorted(strata)]


def _hand_out(
    patients: Sequence[str], images_of: dict[str, list[int]], parts: np.ndarray, splits: list[Split]
) -> None:
    """Give patients one by one to the split that lacks most of its part of their images."""
    wanted = parts * sum(len(images_of[patient]) for patient in patients)
    given = np.zeros(len(SPLITS))
    for patient in patients:
        lacks = np.where(wanted > 0, (wanted - given) / np.maximum(wanted, 1e-9), -np.inf)
        chosen = int(np.argmax(lacks))
        given[chosen] += len(images_of[patient])
        for index in images_of[patient]:
            splits[index] = SPLITS[chosen]


def leaking_patients(samples: Iterable[Sample]) -> dict[str, set[Split]]:
    """Patients whose images lie in more than one split, with those splits."""
    seen: dict[str, set[Split]] = defaultdict(set)
    for sample in samples:
        if sample.patient:
            seen[sample.patient].add(sample.split)
    return {patient: splits for patient, splits in seen.items() if len(splits) > 1}


def require_no_leak(samples: Iterable[Sample]) -> None:
    """Refuse samples in which a patient lies in two splits.

    Raises:
        DatasetError: Names up to five such patients.
    """
    leaks = leaking_patients(samples)
    if leaks:
        some = ", ".join(f"{p} ({'+'.join(sorted(s))})" for p, s in sorted(leaks.items())[:5])
        raise DatasetError(
            f"{len(leaks)} patient(s) lie in more than one split",
            expected="every patient in one split",
            got=some,
            todo="split by patient",
        )
