"""A folder of simulated radiographs with its tables, as a data set of real ones is laid out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xiqa.errors import DatasetError
from xiqa.imaging.masks import write_mask
from xiqa.simulation.chest.groups import REMOVABLE, zone_of
from xiqa.simulation.chest.scenario import Scenario
from xiqa.simulation.dx import write_dx
from xiqa.simulation.folder import SimulatedFolder, split_of, write_png
from xiqa.simulation.phantom import Phantom

__all__ = ["PhantomFolder"]

TABLES: Mapping[str, tuple[str, ...]] = {
    "images.csv": ("image", "patient", "split", "label", "outside_surveyed", "seed", "spacing_mm"),
    "objects.csv": ("image", "x0", "y0", "x1", "y1", "kind", "removable", "zone"),
    "annotations.csv": ("image_name", "annotation"),
}
SCENARIOS = ("image", "scenario", "count", "size", "place", "implant", "patient")


class PhantomFolder(SimulatedFolder):
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
        self.dicom, self.masks, self.scenarios = dicom, masks, scenarios
        tables = {**TABLES, **({"scenarios.csv": SCENARIOS} if scenarios else {})}
        super().__init__(folder, tables, ("images", "masks"), force=force)
        (folder / "images").mkdir()
        if masks:
            (folder / "masks").mkdir()
        if not scenarios:
            (folder / "scenarios.csv").unlink(missing_ok=True)

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
            self.describe("scenarios.csv", _scenario_row(name, scenario, seed))
        for table, row in _described(phantom, name, seed):
            self.describe(table, row)
        if self.masks:
            self._write_masks(phantom, path.stem)
        return path

    def _write_masks(self, phantom: Phantom, stem: str) -> None:
        if phantom.lung_mask is not None:
            write_mask(phantom.lung_mask, self.folder / "masks" / f"{stem}_lungs.png")
        for k, annotation in enumerate(phantom.annotations):
            if annotation.mask is not None:
                kind = re.sub(r"\W", "_", annotation.kind)
                write_mask(annotation.mask, self.folder / "masks" / f"{stem}_{k:02d}_{kind}.png")


def _patient(seed: int) -> str:
    """Whom an image shows: the same seed under another scenario is the same patient."""
    return f"sim{seed:06d}"


def _scenario_row(name: str, scenario: Scenario, seed: int) -> tuple[Any, ...]:
    """One row of ``scenarios.csv``."""
    implant = int(bool(scenario.implant))
    return (name, scenario.name, scenario.count, scenario.size, scenario.place, implant, _patient(seed))


def _described(phantom: Phantom, name: str, seed: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Rows of the other tables, each with its table's name."""
    boxes = []
    for annotation in phantom.annotations:
        corners = [round(value) for value in annotation.box]
        if annotation.problem:
            boxes.append(" ".join(str(value) for value in (0, *corners)))
        removable = int(REMOVABLE in annotation.groups)
        yield "objects.csv", (name, *corners, annotation.kind, removable, zone_of(annotation))
    yield "annotations.csv", (name, ";".join(boxes))
    spacing = f"{phantom.image.spacing[0]:.5f}" if phantom.image.spacing else ""
    label = "foreign" if phantom.label else "clean"
    yield "images.csv", (name, _patient(seed), split_of(seed), label, 1, seed, spacing)
