"""From xiqa's pixels to DICOM's.

xiqa counts from the *centre* of the top-left pixel, DICOM's spatial coordinates and presentation states from
its outer *corner* (PS3.3 C.18.6.1.1, C.10.5): a point moves by half a pixel, and a box that names its first
and last pixel becomes the outline of their areas.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xiqa.geometry import Box, Point

__all__ = ["box_of", "outline", "point"]


def outline(box: Box) -> NDArray[np.float64]:
    """The closed outline ``(5, 2)`` of a box as (column, row), from its top-left corner clockwise.

    >>> outline(Box(10, 20, 12, 24)).tolist()
    [[10.0, 20.0], [13.0, 20.0], [13.0, 25.0], [10.0, 25.0], [10.0, 20.0]]
    """
    left, top, right, bottom = box.x0, box.y0, box.x1 + 1, box.y1 + 1
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return np.array(corners, dtype=np.float64)


def point(peak: Point) -> NDArray[np.float64]:
    """A point ``(1, 2)`` as (column, row).

    >>> point(Point(3, 0)).tolist()
    [[3.5, 0.5]]
    """
    return np.array([[peak.x + 0.5, peak.y + 0.5]])


def box_of(corners: NDArray[np.float64]) -> Box:
    """The box of an outline; the inverse of `outline`.

    >>> box_of(outline(Box(10, 20, 12, 24)))
    Box(x0=10.0, y0=20.0, x1=12.0, y1=24.0)
    """
    (x0, y0), (x1, y1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return Box(x0, y0, x1 - 1, y1 - 1)
