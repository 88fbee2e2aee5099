"""4-chamber cardiac MR with and without the left ventricular outflow tract (LVOT).

The layout is a folder a patient::

    images/PATIENT/SLICE.png     also .dcm, .nii, .nii.gz (every slice or phase of a volume counts)
    masks/PATIENT/SLICE.png      optional: the tract's pixels, under the same name
    labels.csv                   optional: image,label with label 1 where the tract shows

A slice's label comes from ``labels.csv`` where it is listed there, else from its mask (1 when any pixel is
set, 0 when there is none). Patients are split 80/10/10.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from xiqa.datasets.collection import Collection, assign_splits
from xiqa.datasets.masks import annotation_from_mask, read_mask
from xiqa.datasets.sample import Sample
from xiqa.datasets.tables import read_rows
from xiqa.errors import DatasetError
from xiqa.types import Annotation

__all__ = ["read_lvot"]

CLASSES = ("without_lvot", "with_lvot")
SUFFIXES = (".png", ".dcm", ".nii", ".nii.gz")


def read_lvot(folder: Path, *, seed: int = 0) -> Collection:
    """The slices of all patients, split by patient.

    Args:
        folder: The data set's folder.
        seed: Of the split.

    Returns:
        Samples with mask and tightest box of the tract, where masks exist.

    Raises:
        DatasetError: No slice is found, a slice has neither label nor any mask folder to tell it, a label
            is not 0 or 1, or a mask has another size than its slice.
    """
    images = folder / "images"
    files = sorted(p for p in images.glob("*/*") if p.name.lower().endswith(SUFFIXES))
    if not files:
        raise DatasetError(
            f"no slice under {images}", expected="images/PATIENT/SLICE.png (or .dcm, .nii, .nii.gz)"
        )
    table = folder / "labels.csv"
    labels = (
        {row["image"]: row["label"] for row in read_rows(table, ("image", "label"))}
        if table.is_file()
        else {}
    )
    samples = [sample for file in files for sample in _slices(folder, file, labels)]
    splits = assign_splits([sample.patient for sample in samples], seed=seed)
    split = tuple(replace(sample, split=part) for sample, part in zip(samples, splits, strict=True))
    return Collection("lvot", CLASSES, split)


def _slices(folder: Path, file: Path, labels: dict[str, str]) -> list[Sample]:
    """One sample a slice or phase of a file."""
    from xiqa.imaging import read_image  # noqa: PLC0415 - decoders load only when a file is read

    key = file.relative_to(folder / "images").as_posix()
    patient = file.parent.name
    mask_file = folder / "masks" / key
    if key not in labels and not (folder / "masks").is_dir():
        raise DatasetError(f"no label for {key}", expected="a row in labels.csv or a folder masks/")
    first = read_image(file)
    samples = []
    for frame in range(first.source.frames):
        annotations: tuple[Annotation, ...] = ()
        if mask_file.is_file():
            mask = read_mask(mask_file, frame)
            if mask.shape != first.size:
                raise DatasetError(f"mask of {key}", expected=f"size {first.size}", got=str(mask.shape))
            annotations = annotation_from_mask(mask, "lvot")
        several = first.source.frames > 1
        samples.append(
            Sample(
                key=f"{key}#{frame}" if several else key,
                path=file,
                label=_label(key, labels, bool(annotations)),
                split="train",
                patient=patient,
                annotations=annotations,
                source=partial(read_image, file, frame=frame) if several else None,
            )
        )
    return samples


def _label(key: str, labels: dict[str, str], masked: bool) -> int:
    """The listed label, else whether the mask shows anything."""
    text = labels.get(key)
    if text is None:
        return int(masked)
    if text not in ("0", "1"):
        raise DatasetError(f"labels.csv, {key}", expected="label 0 or 1", got=repr(text))
    return int(text)
