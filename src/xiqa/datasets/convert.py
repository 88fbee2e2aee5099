"""A data set of any layout, written in another one; the images stay where they are."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from xiqa.datasets.coco import write_coco
from xiqa.datasets.collection import Collection
from xiqa.datasets.groups import members
from xiqa.datasets.object_cxr import ELLIPSE, POLYGON, RECTANGLE
from xiqa.datasets.sample import Sample, by_split
from xiqa.errors import DatasetError
from xiqa.types import Annotation

__all__ = ["OBJECT_CXR_TABLES", "convert", "format_annotation", "write_csv", "write_object_cxr"]

OBJECT_CXR_TABLES = {"train": "train.csv", "val": "dev.csv", "test": "test.csv"}


def convert(collection: Collection, out: Path) -> None:
    """Write a data set in the layout that the name of ``out`` asks for.

    Args:
        collection: What to write.
        out: ``NAME.json``: COCO; ``NAME.csv``: a table of images; a folder: Object-CXR's tables.

    Raises:
        DatasetError: The images are slices of volumes, which have no file of their own, or the name asks for
            none of these.
    """
    volumes = [sample.key for sample in collection.samples if sample.source is not None]
    if volumes:
        raise DatasetError(
            f"{len(volumes)} images are slices of a volume",
            expected="an image a file",
            got=volumes[0],
            todo="save the slices as PNG or DICOM",
        )
    if out.suffix == ".json":
        write_coco(collection, out)
    elif out.suffix == ".csv":
        write_csv(collection, out)
    elif not out.suffix:
        write_object_cxr(collection, out)
    else:
        raise DatasetError(
            "unknown layout to write", expected="NAME.json, NAME.csv or a folder", got=out.name
        )


def format_annotation(annotations: Iterable[Annotation]) -> str:
    """Objects in Object-CXR's grammar, the inverse of `parse_annotation`; a mask counts by its box.

    >>> from xiqa.datasets.object_cxr import parse_annotation
    >>> format_annotation(parse_annotation("0 1 2 3 4;2 1 1 5 1 3 6.5"))
    '0 1 2 3 4;2 1 1 5 1 3 6.5'
    """
    return ";".join(_shape(annotation) for annotation in annotations)


def _shape(annotation: Annotation) -> str:
    """One object."""
    if annotation.polygon:
        numbers, shape = [value for point in annotation.polygon for value in point], POLYGON
    else:
        numbers, shape = list(annotation.box), ELLIPSE if annotation.ellipse else RECTANGLE
    return " ".join([shape, *(f"{value:g}" for value in numbers)])


def write_object_cxr(collection: Collection, folder: Path) -> None:
    """Write ``train.csv``, ``dev.csv`` and ``test.csv`` with the header ``image_path,annotation``.

    Only objects that make an image poor are told, as Object-CXR does. An image of the
    poor class without such an object, and one of the good class with one, cannot be told in this layout.

    Raises:
        DatasetError: There are such images.
    """
    rows: dict[str, list[Sequence[str]]] = {}
    for split, table in OBJECT_CXR_TABLES.items():
        part = by_split(collection.samples, split)  # type: ignore[arg-type]
        rows[table] = [(str(sample.path.resolve()), format_annotation(_told(sample))) for sample in part]
    lost = [sample.key for sample in collection.samples if bool(_told(sample)) != bool(sample.label)]
    if lost:
        raise DatasetError(
            f"Object-CXR's layout cannot tell the class of {len(lost)} images",
            expected="objects on exactly the images of the poor class",
            got=", ".join(lost[:3]),
            todo="convert to COCO (NAME.json) or a table (NAME.csv)",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for table, lines in rows.items():
        if lines:
            _write(folder / table, ("image_path", "annotation"), lines)


def _told(sample: Sample) -> list[Annotation]:
    """The objects that make an image poor."""
    return members(sample.annotations)


def write_csv(collection: Collection, table: Path) -> None:
    """Write ``image,label,patient,split,degree,tags``; annotated objects are left out.

    Paths are relative to the table where the images lie below it, else absolute.
    """
    base = table.parent.resolve()
    lines = []
    for sample in collection.samples:
        place = sample.path.resolve()
        name = place.relative_to(base).as_posix() if place.is_relative_to(base) else str(place)
        degree = "" if sample.degree is None else f"{sample.degree:g}"
        label = collection.classes[sample.label]
        lines.append((name, label, sample.patient, sample.split, degree, "|".join(sample.tags)))
    table.parent.mkdir(parents=True, exist_ok=True)
    _write(table, ("image", "label", "patient", "split", "degree", "tags"), lines)


def _write(table: Path, header: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)
