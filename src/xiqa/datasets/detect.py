"""Which layout a folder has, told from the files in it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path

from xiqa.datasets.coco import read_coco
from xiqa.datasets.collection import Collection, require_no_leak
from xiqa.datasets.covid_radiography import read_covid_radiography
from xiqa.datasets.folder import read_class_folders, read_csv
from xiqa.datasets.foreign_objects import read_foreign_objects
from xiqa.datasets.lvot import read_lvot
from xiqa.datasets.nih_chestxray14 import read_nih_chestxray14
from xiqa.datasets.object_cxr import read_object_cxr
from xiqa.datasets.sample import Sample
from xiqa.errors import DatasetError
from xiqa.types import Split

__all__ = ["LAYOUTS", "read_dataset"]

OBJECT_CXR_TABLES: dict[str, Split] = {"train.csv": "train", "dev.csv": "val", "test.csv": "test"}


def _foreign_objects(path: Path) -> Collection:
    return Collection("foreign-objects", ("clean", "foreign"), tuple(read_foreign_objects(path)))


def _object_cxr(path: Path) -> Collection:
    """All tables that are there; films lie in ``images/``, or in a folder named like the table."""
    samples: list[Sample] = []
    for name, split in OBJECT_CXR_TABLES.items():
        table = path / name
        if table.is_file():
            own = path / table.stem
            samples += read_object_cxr(table, own if own.is_dir() else path / "images", split)
    return Collection("object-cxr", ("clean", "foreign"), tuple(samples))


def _header(table: Path) -> set[str]:
    if not table.is_file():
        return set()
    with table.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        return set(next(csv.reader(lines), []))


# Name, how to tell it, how to read it; the first that fits is taken. Leaks are for the caller to refuse.
LAYOUTS: list[tuple[str, Callable[[Path], bool], Callable[[Path], Collection]]] = [
    ("csv", lambda p: p.is_file() and p.suffix == ".csv", partial(read_csv, leaks=True)),
    ("coco", lambda p: p.is_file() and p.suffix == ".json", read_coco),
    ("foreign-objects", lambda p: {"image", "kind"} <= _header(p / "objects.csv"), _foreign_objects),
    (
        "object-cxr",
        lambda p: any("annotation" in _header(p / name) for name in OBJECT_CXR_TABLES),
        _object_cxr,
    ),
    ("nih-chestxray14", lambda p: any(p.glob("Data_Entry_2017*.csv")), read_nih_chestxray14),
    ("covid-radiography", lambda p: (p / "COVID" / "images").is_dir(), read_covid_radiography),
    ("coco", lambda p: (p / "annotations.json").is_file() or any(p.glob("annotations/*.json")), read_coco),
    ("lvot", lambda p: any((p / "images").glob("*/*")), read_lvot),
    (
        "csv",
        lambda p: {"image"} <= _header(p / "images.csv"),
        lambda p: read_csv(p / "images.csv", leaks=True),
    ),
    ("class-folders", lambda p: p.is_dir(), read_class_folders),
]


def read_dataset(path: Path, *, leaks: bool = False) -> Collection:
    """A data set of any known layout, recognised by its files.

    Args:
        path: A folder, a CSV file or a COCO JSON file.
        leaks: Whether a patient may lie in two splits, as when a leak is to be told rather than refused.

    Raises:
        DatasetError: There is nothing, the layout's own reader refuses it, or a patient lies in two splits.
    """
    if not path.exists():
        raise DatasetError("no data set", expected="a folder or a CSV or JSON file", got=str(path))
    for _name, fits, read in LAYOUTS:
        if fits(path):
            collection = read(path)
            if not leaks:
                require_no_leak(collection.samples)
            return collection
    raise DatasetError(
        f"no known layout in {path}", expected=f"one of {', '.join(dict.fromkeys(n for n, _, _ in LAYOUTS))}"
    )
