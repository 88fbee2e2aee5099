"""A folder of simulated cines in the layout of the outflow tract's data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xiqa.errors import DatasetError
from xiqa.imaging.masks import write_mask
from xiqa.simulation.cardiac import simulate_cardiac
from xiqa.simulation.folder import SimulatedFolder, write_png
from xiqa.simulation.mr import CinePlace, write_mr, write_nifti, write_nifti_mask
from xiqa.simulation.phantom import Phantom
from xiqa.types import MaskArray

__all__ = ["CineFolder", "simulate_cines"]

Format = Literal["png", "dicom", "nifti"]
TABLE = "labels.csv"
COLUMNS = ("image", "label", "tilt_deg", "phase", "spacing_mm", "seed")


def simulate_cines(seed: int, frames: int, size: tuple[int, int]) -> list[list[Phantom]]:
    """Two cines of one patient, one with the tract and one without, in an order that the seed decides.

    Heart, chest, place and scanner are the same in both; the plane is not. What a classifier can tell them
    apart by is the tract.

    Args:
        seed: The patient.
        frames: Phases of the beat in each, evenly apart.
        size: Rows and columns.
    """
    first = bool(np.random.default_rng([seed, 3]).random() < 0.5)
    return [
        [simulate_cardiac(seed, outflow=outflow, phase=frame / frames, size=size) for frame in range(frames)]
        for outflow in (first, not first)
    ]


class CineFolder(SimulatedFolder):
    """Writes cines patient by patient: ``images/PATIENT/``, ``masks/PATIENT/``, ``labels.csv``.

    Args:
        folder: Where to; made where absent.
        format: ``png`` and ``dicom``: a file a frame, with a PNG mask of the same name; ``nifti``: a volume a
            cine, with a volume of masks.
        force: Replace an earlier simulation.

    Raises:
        DatasetError: If the folder is a file, or not empty and not to be replaced, or holds anything else.
    """

    def __init__(self, folder: Path, *, format: Format = "png", force: bool = False) -> None:
        self.format = format
        super().__init__(folder, {TABLE: COLUMNS}, ("images", "masks"), force=force)

    def add(self, cines: Sequence[Sequence[Phantom]]) -> int:
        """Write the cines of one patient.

        Returns:
            How many frames show the tract.

        Raises:
            DatasetError: If this patient is there already.
        """
        seed = int(cines[0][0].parameters["seed"])
        patient = f"sim{seed:06d}"
        for part in ("images", "masks"):
            try:
                (self.folder / part / patient).mkdir(parents=True)
            except FileExistsError:
                raise DatasetError(f"two patients called {patient}", got=f"seed {seed} twice") from None
        for series, frames in enumerate(cines):
            names = self._write(patient, series, frames)
            for name, frame in zip(names, frames, strict=True):
                self.describe(TABLE, _row(name, frame))
        return sum(frame.label for frames in cines for frame in frames)

    def _write(self, patient: str, series: int, frames: Sequence[Phantom]) -> list[str]:
        """Write one cine; gives the names by which the frames are listed."""
        images, masks = (self.folder / part / patient for part in ("images", "masks"))
        stem = f"series{series + 1}"
        if self.format == "nifti":
            name = f"{stem}.nii.gz"
            write_nifti(frames, images / name)
            write_nifti_mask([_mask(frame) for frame in frames], frames[0], masks / name)
            return [f"{patient}/{name}#{number}" for number in range(len(frames))]
        suffix = "dcm" if self.format == "dicom" else "png"
        names = []
        for number, frame in enumerate(frames):
            name = f"{stem}_frame{number:02d}"
            if self.format == "dicom":
                write_mr(frame, images / f"{name}.dcm", CinePlace(series, number, len(frames)))
            else:
                write_png(frame.image, images / f"{name}.png")
            write_mask(_mask(frame), masks / f"{name}.png")
            names.append(f"{patient}/{name}.{suffix}")
        return names


def _mask(phantom: Phantom) -> MaskArray:
    """The tract's pixels; all False where it does not show."""
    if phantom.annotations and phantom.annotations[0].mask is not None:
        return phantom.annotations[0].mask
    return np.zeros(phantom.image.size, dtype=np.bool_)


def _row(name: str, phantom: Phantom) -> tuple[Any, ...]:
    """One row of ``labels.csv``."""
    parameters = phantom.parameters
    spacing = phantom.image.spacing or (1.0, 1.0)
    return (
        name,
        phantom.label,
        f"{parameters['tilt']:.2f}",
        f"{parameters['phase']:.4f}",
        f"{spacing[0]:.5f}",
        parameters["seed"],
    )
