"""Where a map is highest: its peak, its peaks apart from one another, and the places it points at.

All three begin with the same pixel, the highest, the first in row-major order of those that tie; and a map
that says nothing has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import SaliencyError
from xiqa.geometry import Box, Point
from xiqa.saliency.maps import is_constant, values_of
from xiqa.types import Finding, FloatArray, SaliencyMap

if TYPE_CHECKING:
    from xiqa.types import MaskArray

__all__ = ["find", "peak", "peaks", "says_something"]


def says_something(saliency: NDArray[Any]) -> bool:
    """Whether the map can localise anything: finite everywhere and not constant up to rounding."""
    return bool(
        saliency.size and np.isfinite([saliency.min(), saliency.max()]).all() and not is_constant(saliency)
    )


def peak(saliency: NDArray[Any]) -> Point | None:
    """The highest pixel, the first in row-major order of those that tie; None where there is no peak.

    >>> peak(np.array([[0.0, 2.0], [2.0, 1.0]]))
    Point(x=1.0, y=0.0)
    """
    if not says_something(saliency):
        return None
    row, column = divmod(int(saliency.argmax()), saliency.shape[1])
    return Point(float(column), float(row))


def peaks(
    saliency: NDArray[Any], *, count: int, separation: float, scale: tuple[float, float] = (1.0, 1.0)
) -> list[tuple[Point, float]]:
    """The highest pixels that are not suppressed by a higher one nearby, highest first.

    Greedy non-maximum suppression: take the highest pixel, strike out every pixel closer to it than
    `separation`, repeat. Pixels at the map's minimum are never peaks.

    Args:
        saliency: ``(H, W)``.
        count: The most peaks to return.
        separation: Smallest distance between two peaks.
        scale: Length of a pixel along rows (y) and columns (x) in the unit of `separation`.

    Returns:
        Points and their values; empty for a map that says nothing.

    >>> peaks(np.array([[9.0, 8.0, 0.0, 7.0]]), count=5, separation=2)
    [(Point(x=0.0, y=0.0), 9.0), (Point(x=3.0, y=0.0), 7.0)]
    """
    if not says_something(saliency):
        return []
    left = saliency.astype(float)
    floor = left.min()
    places: list[tuple[Point, float]] = []
    while len(places) < count:
        row, column = divmod(int(left.argmax()), left.shape[1])
        value = float(left[row, column])
        if value <= floor:
            break
        places.append((Point(float(column), float(row)), value))
        left[_around(left.shape, row, column, separation, scale)] = -np.inf
        left[row, column] = -np.inf
    return places


def find(
    saliency: SaliencyMap | FloatArray,
    *,
    count: int = 1,
    fraction: float = 0.5,
    least: float = 0.5,
    separation: float = 0.0,
    label: str = "",
) -> tuple[Finding, ...]:
    r"""The places that a map points at, most salient first, in the map's own pixels.

    A place is a local maximum (in a 3x3 neighbourhood; of equal pixels the first in row-major order). Its
    region is what is connected to it above ``fraction`` of its height over the map's minimum,
    :math:`M(u) \ge m + f\,(M(p) - m)`; a lower peak inside the region of a higher one is the same place, and
    so is one whose own region holds a higher peak: a shoulder of it, or haze around it.

    Args:
        saliency: ``(h, w)``, of any sign.
        count: The most places.
        fraction: Height of the region's rim, in (0, 1].
        least: Height of the lowest peak that still counts, relative to the highest.
        separation: Least distance between two peaks in pixels.
        label: What is suspected there, for every finding.

    Returns:
        Findings; none for a map that is constant or not finite everywhere: such a map points nowhere.

    Raises:
        SaliencyError: A fraction outside its range, or no map.

    >>> bump = np.zeros((5, 7), np.float32); bump[2, 4] = 2.0; bump[2, 3] = 1.5
    >>> find(bump)[0].peak, find(bump)[0].box
    (Point(x=4, y=2), Box(x0=3, y0=2, x1=4, y1=2))
    >>> find(np.ones((5, 7), np.float32))
    ()
    """
    values = values_of(saliency)
    if not 0 < fraction <= 1 or not 0 <= least <= 1 or count < 1:
        raise SaliencyError(
            "no such places",
            expected="0 < fraction <= 1, 0 <= least <= 1, count >= 1",
            got=f"fraction={fraction}, least={least}, count={count}",
        )
    if not says_something(values):
        return ()
    heights = values.astype(np.float64) - float(values.min())
    findings: list[Finding] = []
    taken = np.zeros(values.shape, dtype=bool)
    for row, column in _local_maxima(values):
        height = heights[row, column]
        if len(findings) == count or height < least * heights.max() or height == 0:
            break
        if taken[row, column] or _near((row, column), findings, separation):
            continue
        region = _region(heights >= fraction * height, row, column)
        shoulder = bool((region & taken).any())
        taken |= region
        if shoulder:
            continue
        findings.append(
            Finding(
                peak=Point(column, row),
                box=_box(region),
                score=float(height / heights.max()),
                ties=int((values == values[row, column]).sum()),
                label=label,
            )
        )
    return tuple(findings)


def _around(
    size: tuple[int, ...], row: int, column: int, separation: float, scale: tuple[float, float]
) -> MaskArray:
    y = (np.arange(size[0]) - row)[:, None] * scale[0]
    x = (np.arange(size[1]) - column)[None, :] * scale[1]
    return np.asarray(x**2 + y**2 < separation**2)


def _local_maxima(values: FloatArray) -> list[tuple[int, int]]:
    """Local maxima, highest first, equal ones in row-major order."""
    from scipy.ndimage import maximum_filter  # noqa: PLC0415 - only where places are sought

    highest = values == maximum_filter(values, size=3, mode="nearest")
    rows, columns = np.nonzero(highest & (values > values.min()))
    order = np.argsort(-values[rows, columns], kind="stable")
    return [(int(rows[place]), int(columns[place])) for place in order]


def _region(above: NDArray[np.bool_], row: int, column: int) -> NDArray[np.bool_]:
    """What is connected (edges and corners) to a pixel."""
    from scipy.ndimage import label as components  # noqa: PLC0415 - only where places are sought

    numbered, _ = components(above, structure=np.ones((3, 3)))
    region: NDArray[np.bool_] = numbered == numbered[row, column]
    return region


def _box(region: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))


def _near(place: tuple[int, int], findings: list[Finding], separation: float) -> bool:
    return any(
        np.hypot(place[1] - finding.peak.x, place[0] - finding.peak.y) < separation for finding in findings
    )
