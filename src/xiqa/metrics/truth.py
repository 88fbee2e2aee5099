"""What localisation metrics ask of the annotated objects: their pixels, and how far a point is from them.

One rule holds for all of them. An object is the pixels of the image whose centres lie inside it; what leaves
the image is cut off. An object between the centres, which has none, is the one pixel that its middle lies in.
An object that has no pixel of the image, because it lies outside or its mask is empty, is no object of this
image: it is left out, and an image without another one has no truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np

from xiqa.errors import MetricError
from xiqa.geometry import Box, Point
from xiqa.metrics.arguments import Rule
from xiqa.types import Annotation, MaskArray

__all__ = [
    "Shape",
    "Truth",
    "as_shapes",
    "contains",
    "distance_to",
    "object_mask",
    "objects_on",
    "read_truth",
    "union_mask",
]

#: ``exact``: mask, polygon or ellipse where known, else the box; ``box``: every object as its bounding box.
Shape = Literal["exact", "box"]

Size = tuple[int, int]

_LARGE = 2**20  # pixels around a polygon from which it is taken to hold a centre


def read_truth(truth: Any) -> list[Annotation]:
    """The objects, each of which can lie in an image.

    Raises:
        ValueError: A box or a corner that is not finite, a box that ends before it begins, or a mask that is
            no image of 0 and 1.
        TypeError: Something else than annotations.
    """
    for annotation in truth:
        if not isinstance(annotation, Annotation):
            raise TypeError
        numbers = np.asarray(
            [*annotation.box, *(xy for corner in annotation.polygon for xy in corner)], float
        )
        box, mask = annotation.box, annotation.mask
        sound = np.isfinite(numbers).all() and box.width > 0 and box.height > 0
        if not sound or (mask is not None and (mask.ndim != 2 or mask.dtype.kind not in "bui")):
            raise ValueError
    return list(truth)


Truth = Annotated[
    Sequence[Annotation],
    Rule("a list of annotations with finite boxes that do not end before they begin", read_truth),
]


def as_shapes(truth: Sequence[Annotation], shape: Shape) -> list[Annotation]:
    """The objects, each as its exact shape or as its bounding box.

    Raises:
        MetricError: The shape is not known.
    """
    if shape == "exact":
        return list(truth)
    if shape == "box":
        return [replace(a, polygon=(), ellipse=False, mask=None) for a in truth]
    raise MetricError("unknown shape", expected="'exact' or 'box'", got=repr(shape))


def objects_on(truth: Sequence[Annotation], size: Size, *, shape: Shape = "exact") -> list[Annotation]:
    """The objects that have a pixel of the image, in the wanted shape.

    Args:
        truth: All objects.
        size: (rows, columns) of the image.
        shape: ``exact`` or ``box``.

    Raises:
        MetricError: An annotation's mask lies on another grid, even where its box is asked for.

    >>> len(objects_on([Annotation(Box(2, 2, 9, 9)), Annotation(Box(20, 0, 22, 5))], (10, 10)))
    1
    """
    for annotation in truth:
        if annotation.mask is not None:
            _check_grid(annotation.mask, size)
    shapes = zip(truth, as_shapes(truth, shape), strict=True)
    return [a for whole, a in shapes if all(_local_mask(part, size)[1].any() for part in (whole, a))]


def contains(annotation: Annotation, point: Point) -> bool:
    """Whether a point lies inside the object; its border belongs to it.

    A point in the only pixel of an object that lies between the centres counts as inside.

    >>> contains(Annotation(Box(0, 0, 4, 4), ellipse=True), Point(0, 0))
    False
    """
    x, y = point
    if annotation.mask is not None:
        column, row = _pixel(point)
        rows, columns = annotation.mask.shape
        return 0 <= row < rows and 0 <= column < columns and bool(annotation.mask[row, column])
    if _inside(annotation, np.asarray([x], float), np.asarray([y], float))[0]:
        return True
    return _pixel(point) == _pixel(_extent(annotation).centre) and _between_centres(annotation)


def _pixel(point: Point) -> tuple[int, int]:
    """(column, row) of the pixel that a point lies in."""
    return int(np.floor(point.x + 0.5)), int(np.floor(point.y + 0.5))


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


def _check_grid(mask: MaskArray, size: Size) -> None:
    if mask.shape != size:
        raise MetricError(
            "the truth's mask and the map lie on different grids",
            expected=f"a mask of {size}",
            got=str(mask.shape),
            todo="bring the map to the image's grid first",
        )


def object_mask(annotation: Annotation, size: Size) -> MaskArray:
    """The object's pixels ``(H, W)``; see the module for the rule.

    Raises:
        MetricError: The annotation's own mask has another size.

    >>> object_mask(Annotation(Box(1, 0, 2, 0)), (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 0, 0, 0]]
    >>> object_mask(Annotation(Box(1.2, 0.2, 1.4, 0.4)), (2, 4)).astype(int).tolist()
    [[0, 1, 0, 0], [0, 0, 0, 0]]
    """
    (top, left), local = _local_mask(annotation, size)
    mask = np.zeros(size, bool)
    mask[top : top + local.shape[0], left : left + local.shape[1]] = local
    return mask


def _local_mask(annotation: Annotation, size: Size) -> tuple[tuple[int, int], MaskArray]:
    """The object's pixels in the part of the grid that it can touch, and that part's first row and column."""
    if annotation.mask is not None:
        _check_grid(annotation.mask, size)
        return (0, 0), annotation.mask.astype(bool)
    rows, columns = _window(annotation, size)
    y, x = np.mgrid[rows, columns]
    local = _inside(annotation, x.astype(float), y.astype(float))
    column, row = _pixel(_extent(annotation).centre)
    if not local.any() and 0 <= row < size[0] and 0 <= column < size[1]:
        return (row, column), np.ones((1, 1), bool)
    return (rows.start, columns.start), local


def _between_centres(annotation: Annotation) -> bool:
    """Whether no pixel centre lies inside an object without a mask.

    A box or an ellipse that holds a centre holds the one nearest to its middle.
    """
    box = _extent(annotation)
    column, row = _pixel(box.centre)
    if not annotation.polygon:
        return not _inside(annotation, np.asarray([column], float), np.asarray([row], float))[0]
    if box.width * box.height > _LARGE:
        return False
    y, x = np.mgrid[_whole(box.y0, box.y1), _whole(box.x0, box.x1)]
    return not _inside(annotation, x.astype(float), y.astype(float)).any()


def _whole(first: float, last: float) -> slice:
    return slice(int(np.floor(first)), int(np.ceil(max(first, last))) + 1)


def _extent(annotation: Annotation) -> Box:
    """The box of what is tested point by point: that of the corners, where there are some."""
    if not annotation.polygon:
        return annotation.box
    corners = np.asarray(annotation.polygon, float)
    return Box(*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())


def _window(annotation: Annotation, size: Size) -> tuple[slice, slice]:
    """The part of the grid that the object can touch."""
    box = _extent(annotation)
    rows, columns = _span(box.y0, box.y1, size[0]), _span(box.x0, box.x1, size[1])
    return rows, columns


def _span(first: float, last: float, length: int) -> slice:
    start = min(length, max(0, int(np.floor(first))))
    return slice(start, max(start, min(length, int(np.ceil(last)) + 1)))


def union_mask(truth: Sequence[Annotation], size: Size, *, shape: Shape = "exact") -> MaskArray:
    """The pixels of all objects together; all False where there is none.

    Raises:
        MetricError: An annotation's mask lies on another grid.
    """
    mask = np.zeros(size, bool)
    for annotation in objects_on(truth, size, shape=shape):
        (top, left), local = _local_mask(annotation, size)
        mask[top : top + local.shape[0], left : left + local.shape[1]] |= local
    return mask


def distance_to(
    annotation: Annotation, point: Point, size: Size, *, scale: tuple[float, float] = (1.0, 1.0)
) -> float:
    """How far a point is from the object's nearest pixel: 0 inside, infinite for an object without pixels.

    Args:
        annotation: The object.
        point: The point, in the grid's pixels.
        size: (rows, columns) of the grid.
        scale: Length of a pixel along rows (y) and columns (x) in the unit of the answer.

    >>> distance_to(Annotation(Box(0, 0, 4, 4)), Point(7, 8), (10, 10))
    5.0
    """
    (top, left), local = _local_mask(annotation, size)
    if not local.any():
        return float("inf")
    if contains(annotation, point):
        return 0.0
    if local.all():  # a rectangle: each axis by itself
        last = top + local.shape[0] - 1, left + local.shape[1] - 1
        dy, dx = max(top - point.y, 0.0, point.y - last[0]), max(left - point.x, 0.0, point.x - last[1])
        return float(np.hypot(dx * scale[1], dy * scale[0]))
    rows, columns = np.nonzero(local)
    return float(np.hypot((columns + left - point.x) * scale[1], (rows + top - point.y) * scale[0]).min())
