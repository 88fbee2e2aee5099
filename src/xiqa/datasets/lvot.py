"""4-chamber cardiac MR with and without the left ventricular outflow tract (LVOT).

The layout is a folder a patient::

    images/PATIENT/SLICE.png     also .dcm, .nii, .nii.gz (every slice or phase of a volume counts)
    masks/PATIENT/SLICE.png      optional: the tract's pixels, under the same name; PNG or the same format
    labels.csv                   optional: image,label with label 1 where the tract shows

A slice's label comes from ``labels.csv`` where it is listed there (``PATIENT/SLICE.png``; one slice of a
volume as ``PATIENT/VOLUME.nii.gz#3``, counted from 0), else from its mask (1 when any pixel is set, 0 when
there is none). Patients are split 80/10/10.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from xiqa.datasets.collection import Collection, assign_splits
from xiqa.datasets.layout import layout
from xiqa.datasets.sample import Sample
from xiqa.datasets.tables import read_rows
from xiqa.errors import DatasetError, ImageReadError
from xiqa.imaging.masks import annotation_from_mask, read_mask
from xiqa.types import Annotation

__all__ = ["read_lvot"]

CLASSES = ("without_lvot", "with_lvot")
SUFFIXES = (".png", ".dcm", ".nii", ".nii.gz")


@layout("lvot", recognise=lambda path: any((path / "images").glob("*/*")), rank=2)
def read_lvot(folder: Path, *, seed: int = 0) -> Collection:
    """The slices of all patients, split by patient.

    Args:
        folder: The data set's folder.
        seed: Of the split.

    Returns:
        Samples with mask and tightest box of the tract, where masks exist.

    Raises:
        DatasetError: No slice is found, a slice has neither label nor any mask folder to tell it, a label
            is not 0 or 1, a mask has another size than its slice, or a mask belongs to no slice.
    """
    images = folder / "images"
    files = _files(images)
    if not files:
        raise DatasetError(
            f"no slice under {images}", expected="images/PATIENT/SLICE.png (or .dcm, .nii, .nii.gz)"
        )
    masks = {_stem(file, folder / "masks"): file for file in _files(folder / "masks")}
    orphans = sorted(set(masks) - {_stem(file, images) for file in files})
    if orphans:
        raise DatasetError(
            f"{len(orphans)} mask(s) belong to no slice",
            expected="masks/PATIENT/SLICE under the name of images/PATIENT/SLICE",
            got=", ".join(orphans[:3]),
        )
    table = folder / "labels.csv"
    labels = (
        {row["image"]: row["label"] for row in read_rows(table, ("image", "label"))}
        if table.is_file()
        else {}
    )
    samples = [
        sample for file in files for sample in _slices(folder, file, masks.get(_stem(file, images)), labels)
    ]
    splits = assign_splits(
        [sample.patient for sample in samples], seed=seed, labels=[sample.label for sample in samples]
    )
    split = tuple(replace(sample, split=part) for sample, part in zip(samples, splits, strict=True))
    known = {sample.key for sample in samples} | {f"{sample.key}#0" for sample in samples}
    known |= {file.relative_to(images).as_posix() for file in files}
    absent = len(set(labels) - known)
    notes = (f"{absent} slices of labels.csv are not in the folder",) if absent else ()
    return Collection("lvot", CLASSES, split, notes)


def _files(folder: Path) -> list[Path]:
    """The slices, or masks, of all patients."""
    return sorted(path for path in folder.glob("*/*") if path.name.lower().endswith(SUFFIXES))


def _stem(file: Path, folder: Path) -> str:
    """``PATIENT/SLICE`` of a file, without its suffix."""
    name = file.relative_to(folder).as_posix()
    suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]


def _slices(folder: Path, file: Path, mask_file: Path | None, labels: dict[str, str]) -> list[Sample]:
    """One sample a slice or phase of a file; one for a file that cannot be read, so that a check names it."""
    from xiqa.imaging import read_image  # noqa: PLC0415 - decoders load only when a file is read

    key = file.relative_to(folder / "images").as_posix()
    patient = file.parent.name
    try:
        first = read_image(file)
        size, frames = first.size, first.source.frames
    except ImageReadError:
        size, frames = None, 1
    samples = []
    for frame in range(frames):
        name = f"{key}#{frame}"
        text = labels.get(name, labels.get(key))
        if text is None and not (folder / "masks").is_dir():
            raise DatasetError(f"no label for {key}", expected="a row in labels.csv or a folder masks/")
        annotations: tuple[Annotation, ...] = ()
        if mask_file is not None:
            try:
                mask = read_mask(mask_file, frame)
            except ImageReadError as error:
                raise DatasetError(f"cannot read the mask of {name}", got=str(error)) from error
            if size is not None and mask.shape != size:
                raise DatasetError(f"mask of {key}", expected=f"size {size}", got=str(mask.shape))
            annotations = annotation_from_mask(mask, "lvot")
        several = frames > 1
        samples.append(
            Sample(
                key=name if several else key,
                path=file,
                label=_label(key, text, bool(annotations)),
                split="train",
                patient=patient,
                annotations=annotations,
                source=partial(read_image, file, frame=frame) if several else None,
            )
        )
    return samples


def _label(key: str, text: str | None, masked: bool) -> int:
    """The listed label, else whether the mask shows anything."""
    if text is None:
        return int(masked)
    if text not in ("0", "1"):
        raise DatasetError(f"labels.csv, {key}", expected="label 0 or 1", got=repr(text))
    return int(text)
