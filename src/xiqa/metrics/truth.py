"""What localisation metrics ask of the annotated objects: their pixels, and how far a point is from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from xiqa.errors import MetricError
from xiqa.geometry import Box, Point
from xiqa.types import Annotation, MaskArray

__all__ = ["Shape", "Truth", "as_shapes", "contains", "distance_to", "object_mask", "union_mask"]

Truth = Sequence[Annotation]

#: ``exact``: mask, polygon or ellipse where known, else the box; ``box``: every object as its bounding box.
Shape = Literal["exact", "box"]


def as_shapes(truth: Truth, shape: Shape) -> list[Annotation]:
    """The objects, each as its exact shape or as its bounding box.

    Raises:
        MetricError: The shape is not known.
    """
    if shape == "exact":
        return list(truth)
    if shape == "box":
        return [replace(a, polygon=(), ellipse=False, mask=None) for a in truth]
    raise MetricError("unknown shape", expected="'exact' or 'box'", got=repr(shape))


def contains(annotation: Annotation, point: Point) -> bool:
    """Whether a point lies inside the object; its border belongs to it.

    >>> contains(Annotation(Box(0, 0, 4, 4), ellipse=True), Point(0, 0))
    False
    """
    x, y = point
    if annotation.mask is not None:
        row, column = round(y), round(x)
        rows, columns = annotation.mask.shape
        return 0 <= row < rows and 0 <= column < columns and bool(annotation.mask[row, column])
    return bool(_inside(annotation, np.asarray([x], float), np.asarray([y], float))[0])


def _inside(annotation: Annotation, x: np.ndarray, y: np.ndarray) -> MaskArray:
    """Which points lie inside the object's analytic shape."""
    box = annotation.box
    if annotation.polygon:
        return _inside_polygon(np.asarray(annotation.polygon, float), x, y)
    if annotation.ellipse:
        # the ellipse fills the box's pixels, whose outer edges are half a pixel beyond their centres
        centre = box.centre
        return np.asarray(
            ((x - centre.x) / (box.width / 2)) ** 2 + ((y - centre.y) / (box.height / 2)) ** 2 <= 1
        )
    return (x >= box.x0) & (x <= box.x1) & (y >= box.y0) & (y <= box.y1)


def _inside_polygon(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> MaskArray:
    """Even-odd rule; points on an edge are inside."""
    inside = np.zeros(x.shape, bool)
    on_edge = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        cross = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        along = (x - ax) * (x - bx) + (y - ay) * (y - by)
        on_edge |= (np.abs(cross) <= 1e-9) & (along <= 0)
        if ay != by:
            crosses = (ay > y) != (by > y)
            inside ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return inside | on_edge


def object_mask(annotation: Annotation, size: tuple[int, int]) -> MaskArray:
    """The pixels ``(H, W)`` whose centres lie inside the object.

    Raises:
        MetricError: The annotation's own mask has another size.

    >>> object_mask(Annotation(Box(1, 0, 2, 0)), (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 0, 0, 0]]
    """
    if annotation.mask is not None:
        if annotation.mask.shape != size:
            raise MetricError(
                "the truth's mask and the map lie on different grids",
                expected=f"a mask of {size}",
                got=str(annotation.mask.shape),
                todo="bring the map to the image's grid first",
            )
        return annotation.mask
    mask = np.zeros(size, bool)
    rows, columns = _window(annotation, size)
    y, x = np.mgrid[rows, columns]
    mask[rows, columns] = _inside(annotation, x.astype(float), y.astype(float))
    return mask


def _window(annotation: Annotation, size: tuple[int, int]) -> tuple[slice, slice]:
    """The part of the grid that the object can touch."""
    box = annotation.box
    if annotation.polygon:
        corners = np.asarray(annotation.polygon, float)
        box = Box(*corners.min(axis=0), *corners.max(axis=0))
    rows, columns = _span(box.y0, box.y1, size[0]), _span(box.x0, box.x1, size[1])
    return rows, columns


def _span(first: float, last: float, length: int) -> slice:
    start = min(length, max(0, int(np.floor(first))))
    return slice(start, max(start, min(length, int(np.ceil(last)) + 1)))


def union_mask(truth: Truth, size: tuple[int, int], *, shape: Shape = "exact") -> MaskArray:
    """The pixels of all objects together; all False where there is none."""
    mask = np.zeros(size, bool)
    for annotation in as_shapes(truth, shape):
        mask |= object_mask(annotation, size)
    return mask


def distance_to(
    annotation: Annotation, point: Point, size: tuple[int, int], *, scale: tuple[float, float] = (1.0, 1.0)
) -> float:
    """How far a point is from the object: 0 inside, infinite for an object without pixels.

    Args:
        annotation: The object.
        point: The point, in the grid's pixels.
        size: (rows, columns) of the grid.
        scale: Length of a pixel along rows (y) and columns (x) in the unit of the answer.

    >>> distance_to(Annotation(Box(0, 0, 4, 4)), Point(7, 8), (10, 10))
    5.0
    """
    if contains(annotation, point):
        return 0.0
    if annotation.mask is None and not annotation.polygon and not annotation.ellipse:
        box = annotation.box
        dx = max(box.x0 - point.x, 0.0, point.x - box.x1)
        dy = max(box.y0 - point.y, 0.0, point.y - box.y1)
        return float(np.hypot(dx * scale[1], dy * scale[0]))
    rows, columns = np.nonzero(object_mask(annotation, size))
    if not rows.size:
        return float("inf")
    return float(np.hypot((columns - point.x) * scale[1], (rows - point.y) * scale[0]).min())
