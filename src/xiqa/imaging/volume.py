r"""A stack of slices as one volume in the patient's space.

A voxel is named by (slice, row, column). The *affine* takes (column, row, slice) to millimetres towards the
patient's right-to-left, back-to-front and feet-to-head axes (RAS+, as in NIfTI),

.. math:: (x, y, z, 1)^\top = A\, (\text{column}, \text{row}, \text{slice}, 1)^\top.

DICOM counts its first two axes the other way (LPS+); they are turned here. A stack whose slices are shifted
against each other, as by a tilted gantry, keeps its shear in the affine. Nothing is resampled: slices that
are not evenly spaced are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xiqa.errors import ImageReadError
from xiqa.imaging.planes import Plane, in_order, series_notes
from xiqa.imaging.reading import OpenImage, open_image
from xiqa.imaging.series import Series, find_series
from xiqa.types import FloatArray, Image

__all__ = ["Volume", "read_volume"]

_UNEVEN = 0.02  # of the step between slices
_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Slices in one grid.

    Attributes:
        voxels: ``(D, H, W)`` float32 in [0, 1], bright is high.
        affine: ``(4, 4)``, (column, row, slice) to millimetres, RAS+.
        notes: What was chosen or assumed while reading.
    """

    voxels: FloatArray
    affine: NDArray[np.float64]
    notes: tuple[str, ...] = field(default=())

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres from slice to slice, row to row, column to column."""
        column, row, slice_ = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(slice_), float(row), float(column)

    def to_patient(self, voxels: ArrayLike) -> NDArray[np.float64]:
        """Places ``(..., 3)`` as (slice, row, column) in millimetres, RAS+ ``(..., 3)``."""
        backwards = np.asarray(voxels, dtype=np.float64)[..., ::-1]
        return np.asarray(backwards @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_voxel(self, points: ArrayLike) -> NDArray[np.float64]:
        """The inverse of `to_patient`."""
        moved = np.asarray(points, dtype=np.float64) - self.affine[:3, 3]
        return np.asarray(np.linalg.solve(self.affine[:3, :3], moved[..., None])[..., 0][..., ::-1])


def read_volume(source: str | Path | Series) -> Volume:
    """A volume of a NIfTI file, an enhanced DICOM image, a series of files, or a folder that holds one.

    Args:
        source: The file, the series as `xiqa.imaging.find_series` gives it, or the folder.

    Raises:
        ImageReadError: It cannot be read, is no single evenly spaced stack, or does not say where it lies.
    """
    if isinstance(source, Series):
        return _of_files(source)
    path = Path(source)
    if path.is_dir():
        items = find_series(sorted(path.iterdir()))
        stacks = [item for item in items if isinstance(item, Series)]
        if len(stacks) != 1:
            raise _refused(f"{path} holds no single series", f"{len(stacks)} series")
        return _of_files(stacks[0])
    with open_image(path) as file:
        return _of_frames(file)


def _of_files(series: Series) -> Volume:
    """Of one-frame DICOM files, in the order that the series gives."""
    images, planes = [], []
    for path in series.paths:
        with open_image(path) as file:
            images.append(file.read(0))
            planes += file.planes
    return _stacked(images, planes)


def _of_frames(file: OpenImage) -> Volume:
    """Of one file."""
    images = [file.read(frame) for frame in range(file.frames)]
    if file.affine is not None:
        return Volume(_voxels(images), file.affine, (*file.notes, *images[0].source.notes))
    planes = file.planes
    order = in_order(planes) if len(planes) == len(images) else []
    return _stacked([images[place] for place in order], [planes[place] for place in order])


def _stacked(images: Sequence[Image], planes: Sequence[Plane]) -> Volume:
    """Slices in the order of their planes."""
    if len(planes) < 2 or len(images) != len(planes):
        raise _refused("it does not say where its slices lie", f"{len(planes)} places")
    if len({plane.kind for plane in planes}) > 1:
        raise _refused("its slices are of several sizes or directions", "; ".join(series_notes(planes)))
    origins = np.array([plane.origin for plane in planes])
    steps = np.diff(origins, axis=0)
    step = (origins[-1] - origins[0]) / (len(origins) - 1)
    if not np.linalg.norm(steps - step, axis=1).max() <= _UNEVEN * np.linalg.norm(step):
        lengths = np.linalg.norm(steps, axis=1)
        raise _refused("its slices are not evenly spaced", f"{lengths.min():.2f} to {lengths.max():.2f} mm")
    spacing = images[0].spacing
    if spacing is None or not np.linalg.norm(step):
        raise _refused("it has no spacing in all directions", f"{spacing} and steps of {step} mm")
    rows, columns = planes[0].directions[:3], planes[0].directions[3:]
    affine = np.eye(4)
    # along a row the column's number grows, so the first direction goes with the spacing of columns
    turned = np.array([np.multiply(rows, spacing[1]), np.multiply(columns, spacing[0]), step, origins[0]])
    affine[:3] = _TO_RAS @ turned.T
    return Volume(
        _voxels(images), affine, tuple(dict.fromkeys((*series_notes(planes), *images[0].source.notes)))
    )


def _voxels(images: Sequence[Image]) -> FloatArray:
    return np.stack(
        [image.pixels if image.pixels.ndim == 2 else image.pixels.mean(axis=2) for image in images]
    )


def _refused(problem: str, got: str) -> ImageReadError:
    return ImageReadError(
        f"no volume: {problem}",
        code="unsupported_layout",
        expected="one stack of parallel, evenly spaced slices that say where they lie",
        got=got,
        todo="assess it slice by slice",
    )
