"""NIH ChestX-ray14: 112,120 images, 14 findings as labels, boxes for some of them.

The layout is the published one: ``Data_Entry_2017.csv`` (also ``Data_Entry_2017_v2020.csv``),
``test_list.txt``, optionally ``BBox_List_2017.csv``, and the images in ``images/`` or in
``images_001/images/`` to ``images_012/images/``. The official list keeps the test patients apart;
validation patients are drawn from the rest.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from xiqa.datasets.collection import Collection, assign_splits
from xiqa.datasets.layout import layout
from xiqa.datasets.sample import Sample
from xiqa.datasets.tables import number, read_rows
from xiqa.errors import DatasetError
from xiqa.geometry import Box
from xiqa.types import Annotation

__all__ = ["FINDINGS", "read_boxes", "read_nih_chestxray14"]

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
NO_FINDING = "No Finding"


def read_boxes(table: Path) -> dict[str, tuple[Annotation, ...]]:
    """The radiologists' boxes of ``BBox_List_2017.csv``, by image.

    A row is ``image, finding, x, y, w, h`` in pixels of the 1024 x 1024 image; the published header has
    bracketed and empty names, so columns go by their place.

    Raises:
        DatasetError: The file is absent or a row has no four numbers.
    """
    if not table.is_file():
        raise DatasetError("no table of boxes", expected=str(table))
    boxes: dict[str, list[Annotation]] = defaultdict(list)
    with table.open(newline="", encoding="utf-8-sig") as lines:
        for line, row in enumerate(csv.reader(lines), start=1):
            if line == 1:
                continue
            try:
                x, y, width, height = (number(value) for value in row[2:6])
            except ValueError:
                raise DatasetError(
                    f"{table.name}, line {line}", expected="x, y, w, h", got=str(row)
                ) from None
            boxes[row[0]].append(Annotation(Box(x, y, x + width - 1, y + height - 1), kind=row[1]))
    return {image: tuple(image_boxes) for image, image_boxes in boxes.items()}


@layout("nih_chestxray14", recognise=lambda path: any(path.glob("Data_Entry_2017*.csv")))
def read_nih_chestxray14(folder: Path, *, val_fraction: float = 0.125, seed: int = 0) -> Collection:
    """The images that are present, with every finding as a tag.

    Args:
        folder: The data set's folder.
        val_fraction: Part of the official train-and-validation patients that becomes validation.
        seed: Of that draw.

    Returns:
        Samples whose label is 1 when any finding is named, with the findings in `tags`.

    Raises:
        DatasetError: A table is absent, a finding is unknown, or no image of the table is present.
    """
    entry = next(iter(sorted(folder.glob("Data_Entry_2017*.csv"))), folder / "Data_Entry_2017.csv")
    rows = read_rows(entry, ("Image Index", "Finding Labels", "Patient ID"))
    test_list = folder / "test_list.txt"
    if not test_list.is_file():
        raise DatasetError("no official test list", expected=str(test_list))
    test = set(test_list.read_text(encoding="utf-8-sig").split())
    files = {
        file.name: file
        for pattern in ("images/*.png", "images_*/images/*.png")
        for file in folder.glob(pattern)
    }
    present = [row for row in rows if row["Image Index"] in files]
    if not present:
        raise DatasetError("no image of the table is present", expected=f"{folder}/images/*.png")
    table = folder / "BBox_List_2017.csv"
    boxes = read_boxes(table) if table.is_file() else {}
    drawn = assign_splits(
        [row["Patient ID"] for row in present],
        (1 - val_fraction, val_fraction, 0),
        seed,
        labels=[int(bool(_tags(row))) for row in present],
    )
    samples = tuple(
        Sample(
            key=row["Image Index"],
            path=files[row["Image Index"]],
            label=int(bool(tags := _tags(row))),
            split="test" if row["Image Index"] in test else split,
            patient=row["Patient ID"],
            annotations=boxes.get(row["Image Index"], ()),
            surveyed="none",
            tags=tags,
        )
        for row, split in zip(present, drawn, strict=True)
    )
    absent = len(rows) - len(present)
    notes = (f"{absent} images of the table are not in the folder",) if absent else ()
    return Collection("nih_chestxray14", ("no_finding", "finding"), samples, notes)


def _tags(row: dict[str, str]) -> tuple[str, ...]:
    """The findings of a row; none for ``No Finding``."""
    tags = tuple(tag for tag in row["Finding Labels"].split("|") if tag and tag != NO_FINDING)
    unknown = set(tags) - set(FINDINGS)
    if unknown:
        raise DatasetError(
            f"{row['Image Index']}: unknown finding", expected=", ".join(FINDINGS), got=", ".join(unknown)
        )
    return tags
