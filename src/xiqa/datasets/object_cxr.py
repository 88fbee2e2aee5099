"""Object-CXR: foreign objects on chest radiographs, and the layout that others borrow from it.

A CSV file with the header ``image_name,annotation`` (or ``image_path,annotation``), one row an image. The
annotation is empty (no object) or ``object;object;...`` with

- ``0 x1 y1 x2 y2``: a rectangle,
- ``1 x1 y1 x2 y2``: the ellipse inscribed in that rectangle,
- ``2 x1 y1 x2 y2 x3 y3 ...``: a polygon,

in pixels of the original image, origin at the top left.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xiqa.datasets.collection import Collection
from xiqa.datasets.layout import header, layout
from xiqa.datasets.sample import Sample
from xiqa.datasets.tables import header_of, number, numbered_rows
from xiqa.errors import DatasetError
from xiqa.geometry import Box, Point
from xiqa.types import Annotation, Split

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["parse_annotation", "read_object_cxr"]

RECTANGLE, ELLIPSE, POLYGON = "0", "1", "2"
_NAME_COLUMNS = ("image_name", "image_path")
_TABLES: dict[str, Split] = {"train.csv": "train", "dev.csv": "val", "test.csv": "test"}


def parse_annotation(text: str) -> tuple[Annotation, ...]:
    """The objects of one annotation cell.

    Corners may come in any order; a polygon's box is its tightest one.

    Args:
        text: The cell, such as ``"0 10 20 30 40;2 1 1 5 1 3 6"``.

    Returns:
        One annotation an object.

    Raises:
        DatasetError: An unknown shape, a corner without its pair, a word that is no number.

    >>> [annotation.box.width for annotation in parse_annotation("0 10 20 30 40;2 1 1 5 1 3 6")]
    [21.0, 5.0]
    """
    return tuple(_parse_object(part) for part in text.split(";") if part.strip())


def _parse_object(text: str) -> Annotation:
    """One object of an annotation cell."""
    shape, *words = text.split()
    try:
        numbers = [number(word) for word in words]
    except ValueError:
        raise DatasetError("cannot read an annotation", expected="numbers", got=repr(text)) from None
    if shape not in (RECTANGLE, ELLIPSE, POLYGON):
        raise DatasetError(
            "unknown annotation shape", expected="0 (rectangle), 1 (ellipse) or 2 (polygon)", got=repr(text)
        )
    enough = len(numbers) == 4 if shape != POLYGON else len(numbers) >= 6 and len(numbers) % 2 == 0
    if not enough:
        wanted = "three or more corners" if shape == POLYGON else "two corners"
        raise DatasetError("an annotation has too few or too many numbers", expected=wanted, got=repr(text))
    columns, rows = numbers[0::2], numbers[1::2]
    box = Box(min(columns), min(rows), max(columns), max(rows))
    corners = tuple(map(Point, columns, rows)) if shape == POLYGON else ()
    return Annotation(box, polygon=corners, ellipse=shape == ELLIPSE)


def read_object_cxr(table: Path, images: Path, split: Split, classes: Sequence[int] = (0, 1)) -> list[Sample]:
    """The samples of one Object-CXR table.

    Args:
        table: ``train.csv``, ``dev.csv`` or ``test.csv``.
        images: Folder with the image files.
        split: The split that the table stands for.
        classes: Label of an image without and with objects.

    Returns:
        One sample a row; the file's name stands for the patient, whom the set does not name. A path of
        another machine in ``image_path`` counts by its last part.

    Raises:
        DatasetError: The table is absent, has other columns, a row cannot be read, or an image is listed
            twice.
    """
    columns = header_of(table)
    name = next((column for column in _NAME_COLUMNS if column in columns), None)
    if name is None or "annotation" not in columns:
        raise DatasetError(
            f"{table.name} is not an Object-CXR table",
            expected="columns image_name,annotation",
            got=",".join(columns),
        )
    samples: list[Sample] = []
    seen: dict[str, int] = {}
    for line, row in numbered_rows(table):
        try:
            annotations = parse_annotation(row["annotation"])
        except DatasetError as error:
            raise DatasetError(f"{table.name}, line {line}: {error}") from None
        key, label = row[name], classes[bool(annotations)]
        if key in seen:
            raise DatasetError(
                f"{table.name}, line {line}: {key} is listed twice",
                got=f"the first time in line {seen[key]}",
                todo="put all its objects into one line, separated by semicolons",
            )
        seen[key] = line
        file = images / key
        if not file.is_file() and (images / Path(key).name).is_file():
            file = images / Path(key).name
        samples.append(Sample(key, file, label, split, patient=key, annotations=annotations))
    return samples


@layout("object_cxr", recognise=lambda path: any("annotation" in header(path / name) for name in _TABLES))
def _read(folder: Path) -> Collection:
    """All tables that are there; images lie in ``images/``, or in a folder named like the table."""
    samples: list[Sample] = []
    notes = []
    for name, split in _TABLES.items():
        table = folder / name
        if not table.is_file():
            continue
        if "annotation" not in header(table):
            notes.append(
                f"{name} has no column annotation: its {len(numbered_rows(table))} images are left out"
            )
            continue
        own = folder / table.stem
        samples += read_object_cxr(table, own if own.is_dir() else folder / "images", split)
    return Collection("object_cxr", ("clean", "foreign"), tuple(samples), tuple(notes))
