"""A plain folder of classes, or a CSV file: the layouts of those who begin with their own images.

A folder::

    accept/001.dcm   reacquire/002.png                 classes by folder, in alphabetical order
    train/accept/001.dcm   val/accept/...   test/...   the same with given splits

A CSV file with a header: ``image,label`` (or ``image,class``) and, as you have them, ``patient``, ``split``,
``degree`` (how bad, 0 to 1) and ``tags`` (further classes, separated by ``|``). Paths are relative to the
file; labels are class names or numbers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import cast

from xiqa.datasets.collection import SPLITS, Collection, assign_splits, require_no_leak
from xiqa.datasets.layout import header, layout
from xiqa.datasets.sample import Sample
from xiqa.datasets.tables import numbered_rows, read_rows
from xiqa.errors import DatasetError
from xiqa.types import Split

__all__ = ["read_class_folders", "read_csv"]

SUFFIXES = (".dcm", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".nii", ".nii.gz")


@layout("class_folders", recognise=Path.is_dir, rank=9)
def read_class_folders(folder: Path, *, seed: int = 0) -> Collection:
    """Images in one folder a class, with or without a level of splits above.

    Without given splits the files of each class are split 80/10/10. Patients are unknown in this layout: a
    patient with several images can leak between splits, and a note says so.

    Raises:
        DatasetError: Fewer than two classes, or a class without images.
    """
    roots = [folder / split for split in SPLITS if (folder / split).is_dir()]
    classes = sorted({path.name for root in roots or [folder] for path in root.iterdir() if path.is_dir()})
    if len(classes) < 2:
        raise DatasetError(
            f"{folder} has no class folders", expected="two or more folders of images", got=str(classes)
        )
    samples = []
    for root in roots or [folder]:
        for label, name in enumerate(classes):
            files = sorted(p for p in (root / name).rglob("*") if p.name.lower().endswith(SUFFIXES))
            split: Split = cast("Split", root.name) if roots else "train"
            samples += [
                Sample(file.relative_to(folder).as_posix(), file, label, split, surveyed="none")
                for file in files
            ]
    empty = [name for label, name in enumerate(classes) if not any(s.label == label for s in samples)]
    if empty:
        raise DatasetError(f"no image of class {', '.join(empty)}", expected=f"files such as {SUFFIXES}")
    if not roots:
        labels = [sample.label for sample in samples]
        splits = assign_splits([sample.key for sample in samples], seed=seed, labels=labels)
        samples = [replace(sample, split=part) for sample, part in zip(samples, splits, strict=True)]
    notes = ("patients are unknown: images of one patient may lie in several splits",)
    return Collection("class_folders", tuple(classes), tuple(samples), notes)


def _is_table(path: Path) -> bool:
    return path.suffix == ".csv" if path.is_file() else "image" in header(path / "images.csv")


@layout("csv", recognise=_is_table, rank=3)
def _read_table(path: Path) -> Collection:
    return read_csv(path if path.is_file() else path / "images.csv", leaks=True)


def read_csv(table: Path, *, seed: int = 0, label: str | None = None, leaks: bool = False) -> Collection:
    """Images listed in a CSV file.

    Splits are taken from the column ``split``; without it they are drawn 80/10/10, by patient where the
    column ``patient`` is there.

    Args:
        table: The file.
        seed: Of the draw.
        label: Column that holds the class; None: ``label`` or ``class``.
        leaks: Whether a patient may lie in two splits, as when a leak is to be told rather than refused.

    Raises:
        DatasetError: A column is missing, a split is unknown or told for some images only, a class is empty,
            a degree is no number from 0 to 1, an image is listed twice, or a patient lies in two splits.
    """
    rows = read_rows(table, ("image",), optional=(label,) if label else ())
    if not rows:
        raise DatasetError(f"{table.name} lists no image")
    wanted = (label,) if label else ("label", "class")
    name = next((name for name in wanted if name in rows[0]), None)
    if name is None:
        raise DatasetError(
            f"{table.name} lacks a column", expected=" or ".join(wanted), got=", ".join(rows[0])
        )
    _check_rows(table, rows, name)
    classes = sorted({row[name] for row in rows}, key=_numbers_first)
    given = [row.get("split", "") for row in rows]
    unknown = {split for split in given if split and split not in SPLITS}
    if unknown:
        raise DatasetError(f"{table.name}: unknown split", expected="train, val or test", got=str(unknown))
    owners = [row.get("patient") or row["image"] for row in rows]
    labels = [classes.index(row[name]) for row in rows]
    drawn = assign_splits(owners, seed=seed, labels=labels)
    splits = [cast("Split", split) for split in given] if all(given) else drawn
    samples = tuple(
        Sample(
            key=row["image"],
            path=table.parent / row["image"],
            label=classes.index(row[name]),
            split=split,
            patient=row.get("patient") or "",
            surveyed="none",
            tags=tuple(tag for tag in (row.get("tags") or "").split("|") if tag),
            degree=_degree(table, row),
        )
        for row, split in zip(rows, splits, strict=True)
    )
    if not leaks:
        require_no_leak(samples)
    return Collection("csv", tuple(classes), samples)


def _check_rows(table: Path, rows: list[dict[str, str]], name: str) -> None:
    """Every image once, with a class; a split for all of them or for none."""
    twice = [image for image, count in Counter(row["image"] for row in rows).items() if count > 1]
    if twice:
        lines = [number for number, row in numbered_rows(table) if row["image"] == twice[0]]
        raise DatasetError(
            f"{table.name} lists an image twice",
            got=f"{twice[0]} in lines {', '.join(map(str, lines))}; {len(twice)} such images",
            todo="keep one line an image",
        )
    for row in rows:
        if not row[name]:
            raise DatasetError(f"{table.name}, {row['image']}", expected=f"a {name}", got="an empty cell")
    with_split = sum(bool(row.get("split")) for row in rows)
    if 0 < with_split < len(rows):
        raise DatasetError(
            f"{table.name}: some images have no split",
            expected="a split for every image, or for none",
            got=f"{len(rows) - with_split} of {len(rows)} empty",
        )


def _degree(table: Path, row: dict[str, str]) -> float | None:
    """How bad an image is, where the table tells."""
    text = row.get("degree") or ""
    if not text:
        return None
    try:
        degree = float(text)
    except ValueError:
        degree = -1.0
    if not 0 <= degree <= 1:
        raise DatasetError(f"{table.name}, {row['image']}: degree", expected="a number from 0 to 1", got=text)
    return degree


def _numbers_first(name: str) -> tuple[int, str]:
    """Sorts class numbers by value and before names."""
    return (int(name), "") if name.isdigit() else (1 << 62, name)
