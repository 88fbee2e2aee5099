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

from xiqa.errors import DatasetError
from xiqa.imaging.masks import write_mask
from xiqa.simulation.chest.groups import REMOVABLE, zone_of
from xiqa.simulation.chest.scenario import Scenario
from xiqa.simulation.dx import write_dx
from xiqa.simulation.phantom import Phantom
from xiqa.types import Image, Split

__all__ = ["PhantomFolder", "claim_folder", "split_of", "write_png", "write_table"]

TABLES: Mapping[str, tuple[str, ...]] = {
    "images.csv": ("image", "patient", "split", "label", "outside_surveyed", "seed", "spacing_mm"),
    "objects.csv": ("image", "x0", "y0", "x1", "y1", "kind", "removable", "zone"),
    "annotations.csv": ("image_name", "annotation"),
}
SCENARIOS = ("image", "scenario", "count", "size", "place", "implant", "patient")


def split_of(seed: int) -> Split:
    """Eight of ten seeds train, one validates, one tests.

    >>> [split_of(seed) for seed in (7, 8, 9, 10)]
    ['train', 'val', 'test', 'train']
    """
    splits: tuple[Split, ...] = (*("train",) * 8, "val", "test")
    return splits[seed % 10]


def write_png(image: Image, path: Path) -> None:
    """Write a grey image in 8 bits."""
    grey = np.rint(np.clip(image.pixels, 0, 1) * 255).astype(np.uint8)
    Pillow.fromarray(grey).save(path)


def claim_folder(
    folder: Path, table: str, columns: Sequence[str], parts: Sequence[str], *, force: bool
) -> None:
    """Make a folder for a simulation, or clear what an earlier simulation of the same kind left in it.

    Args:
        folder: Where to.
        table: Name of the table by whose header an earlier simulation is known.
        columns: That header.
        parts: Folders to clear.
        force: Whether a folder that is not empty may be cleared.

    Raises:
        DatasetError: If the folder is a file, or not empty and not to be replaced, or holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"cannot write to {folder}", expected="a folder", got="a file")
    if folder.is_dir() and any(folder.iterdir()):
        if not force:
            raise DatasetError(f"{folder} is not empty", todo="choose another folder, or add --force")
        known = folder / table
        header = known.read_text(encoding="utf-8").splitlines()[:1] if known.is_file() else []
        if header != [",".join(columns)]:  # never clear away what somebody else put there
            raise DatasetError(f"{folder} does not hold simulated images", todo="choose another folder")
        for name in parts:
            shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


class PhantomFolder:
    """Writes images one by one, and the tables that describe them.

    The layout is that of the real foreign-object images, so the same reader reads both: ``images/``,
    ``images.csv``, ``objects.csv``; ``annotations.csv`` tells the removable objects of the thorax in
    Object-CXR's way; ``masks/`` has the lungs and every object, where wanted.

    Args:
        folder: Where to; made where absent.
        dicom: DICOM DX files instead of PNG.
        masks: Write masks too.
        scenarios: Write ``scenarios.csv`` too, and name each image by seed and scenario, so that one patient
            may be shown under several.
        force: Replace the images, masks and tables of an earlier simulation.

    Raises:
        DatasetError: If the folder is a file, or not empty and not to be replaced, or holds anything else.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dicom: bool = False,
        masks: bool = False,
        scenarios: bool = False,
        force: bool = False,
    ) -> None:
        self.folder, self.dicom, self.masks, self.scenarios = folder, dicom, masks, scenarios
        claim_folder(folder, "images.csv", TABLES["images.csv"], ("images", "masks"), force=force)
        (folder / "scenarios.csv").unlink(missing_ok=True)
        for name in ("images", "masks") if masks else ("images",):
            (folder / name).mkdir()
        self.tables = {**TABLES, **({"scenarios.csv": SCENARIOS} if scenarios else {})}
        self.rows: dict[str, list[Mapping[str, Any]]] = {table: [] for table in self.tables}

    def add(self, phantom: Phantom) -> Path:
        """Write one image; its name comes from its seed, and from its scenario where these are told.

        Raises:
            DatasetError: If an image of this name is there already.
        """
        seed = int(phantom.parameters["seed"])
        stem = f"chest_{seed:06d}"
        if self.scenarios:
            scenario = Scenario(**phantom.parameters["scenario"])
            stem += f"_{scenario.name}"
        name = f"{stem}.{'dcm' if self.dicom else 'png'}"
        path = self.folder / "images" / name
        if path.exists():
            raise DatasetError(
                f"two images called {name}", expected="a seed an image", got=f"seed {seed} twice"
            )
        if self.dicom:
            write_dx(phantom, path)
        else:
            write_png(phantom.image, path)
        if self.scenarios:
            self.rows["scenarios.csv"].append(_scenario_row(name, scenario, seed))
        for table, row in self._describe(phantom, name, seed):
            self.rows[table].append(row)
        if self.masks:
            self._write_masks(phantom, path.stem)
        return path

    def _describe(self, phantom: Phantom, name: str, seed: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
        boxes = []
        for annotation in phantom.annotations:
            corners = [round(value) for value in annotation.box]
            if annotation.problem:
                boxes.append(" ".join(str(value) for value in (0, *corners)))
            removable = int(REMOVABLE in annotation.groups)
            values = (name, *corners, annotation.kind, removable, zone_of(annotation))
            yield "objects.csv", dict(zip(TABLES["objects.csv"], values, strict=True))
        yield "annotations.csv", {"image_name": name, "annotation": ";".join(boxes)}
        spacing = phantom.image.spacing
        yield (
            "images.csv",
            {
                "image": name,
                "patient": _patient(seed),
                "split": split_of(seed),
                "label": "foreign" if phantom.label else "clean",
                "outside_surveyed": 1,
                "seed": seed,
                "spacing_mm": f"{spacing[0]:.5f}" if spacing else "",
            },
        )

    def _write_masks(self, phantom: Phantom, stem: str) -> None:
        if phantom.lung_mask is not None:
            write_mask(phantom.lung_mask, self.folder / "masks" / f"{stem}_lungs.png")
        for k, annotation in enumerate(phantom.annotations):
            if annotation.mask is not None:
                kind = re.sub(r"\W", "_", annotation.kind)
                write_mask(annotation.mask, self.folder / "masks" / f"{stem}_{k:02d}_{kind}.png")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the tables; also of what was done before an error, so that what is there is described."""
        for table, columns in self.tables.items():
            write_table(self.folder / table, columns, self.rows[table])


def _patient(seed: int) -> str:
    """Whom an image shows: the same seed under another scenario is the same patient."""
    return f"sim{seed:06d}"


def _scenario_row(name: str, scenario: Scenario, seed: int) -> dict[str, Any]:
    """One row of ``scenarios.csv``."""
    implant = int(bool(scenario.implant))
    values = (name, scenario.name, scenario.count, scenario.size, scenario.place, implant, _patient(seed))
    return dict(zip(SCENARIOS, values, strict=True))


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file with a header."""
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
