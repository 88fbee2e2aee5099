"""Chest radiographs with and without foreign objects, boxed by kind, use and place.

Two tables describe a folder of images:

- ``images.csv``: image, patient, split, label (``foreign``, ``clean``, ``uncertain``), outside_surveyed; and,
  where the films come from several hospitals, source;
- ``objects.csv``: image, x0, y0, x1, y1, kind, removable, zone.

``masks/NAME_lungs.png``, where it is there, is the mask of an image's lungs.

An image is poor (label 1) when a removable object lies over the lungs or the mediastinum.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Literal, cast

from xiqa.datasets.collection import Collection
from xiqa.datasets.layout import header, layout
from xiqa.datasets.sample import Sample
from xiqa.datasets.tables import number, read_rows
from xiqa.errors import DatasetError
from xiqa.geometry import Box
from xiqa.simulation.chest.groups import chest_object
from xiqa.types import Annotation, Split

__all__ = ["read_foreign_objects", "read_scenarios"]

_LABELS = {"clean": 0, "foreign": 1}
_IMAGE_COLUMNS = {"image", "patient", "split", "label", "outside_surveyed"}
_OBJECT_COLUMNS = {"image", "x0", "y0", "x1", "y1", "kind", "removable", "zone"}


def read_foreign_objects(folder: Path) -> list[Sample]:
    """The images with a certain label, in the order of ``images.csv``.

    Args:
        folder: The data set's folder, with ``images.csv``, ``objects.csv`` and ``images/``.

    Returns:
        Samples with label 0 (clean) or 1 (foreign); see `xiqa.simulation.chest.groups` for the objects.
        ``surveyed`` is ``"problems"`` for an image on which objects outside the thorax were not boxed.

    Raises:
        DatasetError: A table is absent or has other columns, or a value is not as documented.
    """
    objects: dict[str, list[Annotation]] = defaultdict(list)
    for row in read_rows(folder / "objects.csv", _OBJECT_COLUMNS):
        objects[row["image"]].append(_annotation(row))
    samples = []
    for row in read_rows(folder / "images.csv", _IMAGE_COLUMNS):
        if row["label"] == "uncertain":
            continue
        if row["label"] not in _LABELS or row["split"] not in ("train", "val", "test"):
            raise DatasetError(
                f"images.csv, {row['image']}: unknown label or split",
                expected="clean, foreign or uncertain; train, val or test",
                got=f"{row['label']!r}, {row['split']!r}",
            )
        surveyed: Literal["all", "problems"] = "all" if row["outside_surveyed"] == "1" else "problems"
        lungs = folder / "masks" / f"{Path(row['image']).stem}_lungs.png"
        samples.append(
            Sample(
                key=row["image"],
                path=folder / "images" / row["image"],
                label=_LABELS[row["label"]],
                split=cast("Split", row["split"]),
                patient=row["patient"],
                annotations=tuple(objects[row["image"]]),
                surveyed=surveyed,
                organ_mask=lungs if lungs.is_file() else None,
                site=row.get("source") or folder.resolve().name,
            )
        )
    return samples


@layout("foreign_objects", recognise=lambda path: {"image", "kind"} <= header(path / "objects.csv"))
def _read(folder: Path) -> Collection:
    return Collection("foreign_objects", tuple(_LABELS), tuple(read_foreign_objects(folder)))


def read_scenarios(folder: Path) -> dict[str, str]:
    """The scenario of every image of a folder that `xiqa simulate scenarios` wrote, by the image's key.

    Raises:
        DatasetError: There is no ``scenarios.csv``, or it has other columns.
    """
    rows = read_rows(folder / "scenarios.csv", {"image", "scenario"})
    return {row["image"]: row["scenario"] for row in rows}


def _annotation(row: dict[str, str]) -> Annotation:
    """One row of ``objects.csv``."""
    try:
        box = Box(*(number(row[name]) for name in ("x0", "y0", "x1", "y1")))
    except ValueError:
        raise DatasetError(f"objects.csv, {row['image']}: a corner is not a number") from None
    return chest_object(box, row["kind"], removable=row["removable"] == "1", zone=row["zone"])
