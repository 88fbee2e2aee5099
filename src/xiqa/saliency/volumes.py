r"""Where the map of a volume points: its peak, the peak's region, and distances in millimetres.

The rules are those of `xiqa.saliency.peaks.find`, with 3x3x3 neighbourhoods. Distances between voxels
:math:`u, v` of spacing :math:`s` are :math:`\sqrt{\sum_a s_a^2 (u_a - v_a)^2}`: voxels are seldom cubes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import SaliencyError
from xiqa.saliency.maps import is_constant, values_of
from xiqa.types import FloatArray, SaliencyMap

__all__ = ["VolumeFinding", "find_in_volume", "peak_distance", "pointing_hit"]

Voxel = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class VolumeFinding:
    """One place in a volume, in voxels (slice, row, column).

    Attributes:
        peak: The maximum; of equal ones the first in the order of slices, rows, columns.
        first: Lowest corner of the box around the peak's region.
        last: Highest corner, included.
        score: Height of the peak relative to the highest, in (0, 1].
        ties: How many voxels share the peak's value.
    """

    peak: Voxel
    first: Voxel
    last: Voxel
    score: float
    ties: int = 1


def find_in_volume(
    saliency: SaliencyMap | FloatArray,
    *,
    count: int = 1,
    fraction: float = 0.5,
    least: float = 0.5,
    separation: float = 0.0,
    spacing: Spacing = (1.0, 1.0, 1.0),
) -> tuple[VolumeFinding, ...]:
    """The places that the map of a volume points at, most salient first.

    Args:
        saliency: ``(d, h, w)``.
        count: The most places.
        fraction: Height of a region's rim over the map's minimum, in (0, 1].
        least: Height of the lowest peak that counts, relative to the highest.
        separation: Least distance between two peaks in millimetres.
        spacing: Millimetres between slices, rows and columns of the map's grid.

    Returns:
        Findings; none for a map that is constant or not finite.

    Raises:
        SaliencyError: No map of a volume, or no such places.
    """
    values = values_of(saliency, (3,))
    if not 0 < fraction <= 1 or not 0 <= least <= 1 or count < 1:
        raise SaliencyError(
            "no such places",
            expected="0 < fraction <= 1, 0 <= least <= 1, count >= 1",
            got=f"fraction={fraction}, least={least}, count={count}",
        )
    if not np.isfinite(values).all() or is_constant(values):
        return ()
    heights = values.astype(np.float64) - float(values.min())
    findings: list[VolumeFinding] = []
    taken = np.zeros(values.shape, dtype=bool)
    for peak in _local_maxima(heights):
        height = heights[peak]
        if len(findings) == count or height < least * heights.max():
            break
        if taken[peak] or any(_length(peak, other.peak, spacing) < separation for other in findings):
            continue
        region = _region(heights >= fraction * height, peak)
        shoulder = bool((region & taken).any())
        taken |= region
        if not shoulder:
            findings.append(_finding(peak, region, heights))
    return tuple(findings)


def peak_distance(saliency: SaliencyMap | FloatArray, truth: NDArray[np.bool_], spacing: Spacing) -> float:
    r"""Millimetres from the map's maximum to the nearest voxel of the truth, :math:`\min_{v \in T} |p - v|`.

    Args:
        saliency: ``(D, H, W)`` on the truth's grid; of equal maxima the first counts.
        truth: ``(D, H, W)``, true where the problem is.
        spacing: Millimetres between slices, rows and columns.

    Returns:
        0 inside the truth; infinity for a map that points nowhere.

    Raises:
        SaliencyError: The grids differ, or the truth is empty: a hit on nothing is no hit.
    """
    values = values_of(saliency, (3,))
    if values.shape != truth.shape or not truth.any():
        raise SaliencyError(
            "no truth for this map",
            expected=f"voxels of {values.shape}, some of them true",
            got=f"{truth.shape}, {int(truth.sum())} true",
        )
    if not np.isfinite(values).all() or is_constant(values):
        return float("inf")
    peak = np.unravel_index(int(values.argmax()), values.shape)
    away = (np.argwhere(truth) - np.array(peak)) * np.asarray(spacing)
    return float(np.sqrt((away**2).sum(axis=1).min()))


def pointing_hit(
    saliency: SaliencyMap | FloatArray, truth: NDArray[np.bool_], spacing: Spacing, tolerance: float = 0.0
) -> bool:
    """Whether the Pointing Game is won: the maximum lies in the truth, or no more than ``tolerance`` mm off.

    Source: zhang2018topdown, in millimetres because voxels are no cubes. See `peak_distance`.
    """
    return peak_distance(saliency, truth, spacing) <= tolerance


def _length(first: Voxel, other: Voxel, spacing: Spacing) -> float:
    return float(np.linalg.norm(np.subtract(first, other) * np.asarray(spacing)))


def _local_maxima(heights: NDArray[np.float64]) -> list[Voxel]:
    """Local maxima, highest first, equal ones in the order of their voxels."""
    from scipy.ndimage import maximum_filter  # noqa: PLC0415 - only where places are sought

    found = np.argwhere((heights == maximum_filter(heights, size=3, mode="nearest")) & (heights > 0))
    order = np.argsort(-heights[tuple(found.T)], kind="stable")
    return [(int(k), int(row), int(column)) for k, row, column in found[order]]


def _region(above: NDArray[np.bool_], peak: Voxel) -> NDArray[np.bool_]:
    """What is connected (faces, edges and corners) to a voxel."""
    from scipy.ndimage import label  # noqa: PLC0415 - as above

    numbered, _ = label(above, structure=np.ones((3, 3, 3)))
    return np.asarray(numbered == numbered[peak])


def _finding(peak: Voxel, region: NDArray[np.bool_], heights: NDArray[np.float64]) -> VolumeFinding:
    voxels = np.argwhere(region)
    first, last = (tuple(map(int, corner)) for corner in (voxels.min(axis=0), voxels.max(axis=0)))
    height = heights[peak]
    ties = int((heights == height).sum())
    return VolumeFinding(peak, first, last, float(height / heights.max()), ties)  # type: ignore[arg-type]
