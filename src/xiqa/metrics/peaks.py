"""Where a map is highest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xiqa.geometry import Point
from xiqa.metrics.arguments import Map
from xiqa.saliency.maps import is_constant

if TYPE_CHECKING:
    from xiqa.types import MaskArray

__all__ = ["Map", "peak", "peaks", "says_something"]


def says_something(saliency: Map) -> bool:
    """Whether the map can localise anything: finite everywhere and not constant up to rounding."""
    return bool(
        saliency.size and np.isfinite([saliency.min(), saliency.max()]).all() and not is_constant(saliency)
    )


def peak(saliency: Map) -> Point | None:
    """The highest pixel, the first in row-major order of those that tie; None where there is no peak.

    >>> peak(np.array([[0.0, 2.0], [2.0, 1.0]]))
    Point(x=1.0, y=0.0)
    """
    if not says_something(saliency):
        return None
    row, column = divmod(int(saliency.argmax()), saliency.shape[1])
    return Point(float(column), float(row))


def peaks(
    saliency: Map, *, count: int, separation: float, scale: tuple[float, float] = (1.0, 1.0)
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
        left[_near(left.shape, row, column, separation, scale)] = -np.inf
        left[row, column] = -np.inf
    return places


def _near(
    size: tuple[int, ...], row: int, column: int, separation: float, scale: tuple[float, float]
) -> MaskArray:
    y = (np.arange(size[0]) - row)[:, None] * scale[0]
    x = (np.arange(size[1]) - column)[None, :] * scale[1]
    return np.asarray(x**2 + y**2 < separation**2)
