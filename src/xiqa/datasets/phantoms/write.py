"""A folder of simulated radiographs with its tables, as a data set of real ones is laid out."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image as Pillow

from xiqa.datasets.phantoms.dx import write_dx
from xiqa.datasets.phantoms.phantom import Phantom
from xiqa.datasets.sample import Split
from xiqa.errors import DatasetError
from xiqa.types import MaskArray

__all__ = ["PhantomFolder", "split_of", "write_png"]

TABLES: Mapping[str, tuple[str, ...]] = {
    "images.csv": ("image", "patient", "split", "label", "outside_surveyed", "seed", "spacing_mm"),
    "objects.csv": ("image", "x0", "y0", "x1", "y1", "kind", "removable", "zone"),
    "annotations.csv": ("image_name", "annotation"),
}


def split_of(seed: int) -> Split:
    """Eight of ten seeds train, one validates, one tests.

    >>> [split_of(seed) for seed in (7, 8, 9, 10)]
    ['train', 'val', 'test', 'train']
    """
    splits: tuple[Split, ...] = (*("train",) * 8, "val", "test")
    return splits[seed % 10]


def write_png(phantom: Phantom, path: Path) -> None:
    """Write the film in 8 bits."""
    grey = np.rint(np.clip(phantom.image.pixels, 0, 1) * 255).astype(np.uint8)
    Pillow.fromarray(grey).save(path)


def _write_mask(mask: MaskArray, path: Path) -> None:
    Pillow.fromarray(mask).save(path)


class PhantomFolder:
    """Writes films one by one, and the tables that describe them.

    The layout is that of the real foreign-object films, so the same reader reads both: ``images/``,
    ``images.csv``, ``objects.csv``; ``annotations.csv`` tells the removable objects of the thorax in
    Object-CXR's way; ``masks/`` has the lungs and every object, where wanted.

    Args:
        folder: Where to; made where absent.
        dicom: DICOM DX files instead of PNG.
        masks: Write masks too.
        force: Replace the films, masks and tables of an earlier simulation.

    Raises:
        DatasetError: If the folder is a file, or not empty and not to be replaced, or holds anything else.
    """

    def __init__(
        self, folder: Path, *, dicom: bool = False, masks: bool = False, force: bool = False
    ) -> None:
        self.folder, self.dicom, self.masks = folder, dicom, masks
        if folder.exists() and not folder.is_dir():
            raise DatasetError(f"cannot write to {folder}", expected="a folder", got="a file")
        if folder.is_dir() and any(folder.iterdir()):
            if not force:
                raise DatasetError(f"{folder} is not empty", todo="choose another folder, or add --force")
            if not _is_ours(folder):  # never clear away what somebody else put there
                raise DatasetError(f"{folder} does not hold simulated films", todo="choose another folder")
            for name in ("images", "masks"):
                shutil.rmtree(folder / name, ignore_errors=True)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        if masks:
            (folder / "masks").mkdir(exist_ok=True)
        self.rows: dict[str, list[Mapping[str, Any]]] = {table: [] for table in TABLES}

    def add(self, phantom: Phantom) -> Path:
        """Write one film; its name comes from its seed.

        Raises:
            DatasetError: If a film with this seed is there already.
        """
        seed = int(phantom.parameters["seed"])
        name = f"chest_{seed:06d}.{'dcm' if self.dicom else 'png'}"
        path = self.folder / "images" / name
        if path.exists():
            raise DatasetError(f"two films called {name}", expected="a seed a film", got=f"seed {seed} twice")
        (write_dx if self.dicom else write_png)(phantom, path)
        for table, row in self._describe(phantom, name, seed):
            self.rows[table].append(row)
        if self.masks:
            self._write_masks(phantom, path.stem)
        return path

    def _describe(self, phantom: Phantom, name: str, seed: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
        boxes = []
        for annotation in phantom.annotations:
            corners = [round(value) for value in annotation.box]
            if annotation.removable and annotation.zone == "thorax":
                boxes.append(" ".join(str(value) for value in (0, *corners)))
            values = (name, *corners, annotation.kind, int(annotation.removable), annotation.zone)
            yield "objects.csv", dict(zip(TABLES["objects.csv"], values, strict=True))
        yield "annotations.csv", {"image_name": name, "annotation": ";".join(boxes)}
        spacing = phantom.image.spacing
        yield (
            "images.csv",
            {
                "image": name,
                "patient": f"sim{seed:06d}",
                "split": split_of(seed),
                "label": "foreign" if phantom.label else "clean",
                "outside_surveyed": 1,
                "seed": seed,
                "spacing_mm": f"{spacing[0]:.5f}" if spacing else "",
            },
        )

    def _write_masks(self, phantom: Phantom, stem: str) -> None:
        if phantom.lung_mask is not None:
            _write_mask(phantom.lung_mask, self.folder / "masks" / f"{stem}_lungs.png")
        for k, annotation in enumerate(phantom.annotations):
            if annotation.mask is not None:
                kind = re.sub(r"\W", "_", annotation.kind)
                _write_mask(annotation.mask, self.folder / "masks" / f"{stem}_{k:02d}_{kind}.png")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the tables; also of what was done before an error, so that what is there is described."""
        for table, columns in TABLES.items():
            _write_table(self.folder / table, columns, self.rows[table])


def _is_ours(folder: Path) -> bool:
    """Whether a folder has the table of an earlier simulation."""
    table = folder / "images.csv"
    return table.is_file() and table.read_text(encoding="utf-8").splitlines()[:1] == [
        ",".join(TABLES["images.csv"])
    ]


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
