"""What the evidence map should show: boxes on the map's grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xiqa.geometry import Box
from xiqa.simulation.chest.groups import COMPACT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xiqa.geometry import Frame
    from xiqa.types import Annotation, FloatArray

__all__ = ["DenseTarget", "Truth", "dense_target"]

MAX_REGIONS = 24
LARGEST_COMPACT = 0.1  # of the image's side: the box of a whole necklace is mostly background


class Truth(NamedTuple):
    """One problem on the network's input grid."""

    box: Box
    compact: bool

    @classmethod
    def of(cls, annotation: Annotation, frame: Frame) -> Truth:
        """An annotated object; it counts as compact when its group is and its box is small."""
        box = frame.box_to_model(annotation.box)
        small = max(box.width, box.height) <= LARGEST_COMPACT * max(frame.model_size)
        return cls(box, COMPACT in annotation.groups and small)


class DenseTarget(NamedTuple):
    """The truth on the evidence map's grid of ``(h, w)`` cells.

    Attributes:
        target: ``(h, w)``: 1 in compact boxes, else 0.
        weight: ``(h, w)``: 0 where nothing is known (in and around coarse boxes, around compact ones,
            perhaps outside the surveyed zone), else 1.
        regions: ``(MAX_REGIONS, 4)`` cells (x0, y0, x1, y1), last excluded, of boxes in which at least one
            place must show evidence; unused rows are empty boxes.
    """

    target: FloatArray
    weight: FloatArray
    regions: NDArray[np.int64]


def dense_target(
    truths: Sequence[Truth],
    size: tuple[int, int],
    cells: tuple[int, int],
    survey: tuple[float, float, float, float] | None = None,
    unsurveyed: float = 0.0,
) -> DenseTarget:
    """Draw the objects on the evidence map's grid.

    A compact object's box is filled, with a ring of one cell around it left open. A coarse box (lead, tube)
    is mostly background, so only its strongest place is asked for and the rest is left open.

    Args:
        truths: The problems, on the input grid.
        size: (rows, columns) of the input.
        cells: (rows, columns) of the evidence map.
        survey: (x0, y0, x1, y1) as fractions of the input outside which unboxed objects may lie; None:
            every object is boxed.
        unsurveyed: Weight of the places outside ``survey``.

    Returns:
        Target, weight and regions.
    """
    target = np.zeros(cells, dtype=np.float32)
    weight = np.ones(cells, dtype=np.float32)
    if survey is not None:
        inside = np.zeros(cells, dtype=bool)
        x0, y0, x1, y1 = survey
        inside[int(y0 * cells[0]) : int(y1 * cells[0]), int(x0 * cells[1]) : int(x1 * cells[1])] = True
        weight[~inside] = unsurveyed
    regions = np.zeros((MAX_REGIONS, 4), dtype=np.int64)
    visible = [(truth, cell) for truth in truths if (cell := _cells(truth.box, size, cells)) is not None]
    for _, (x0c, y0c, x1c, y1c) in visible:
        weight[max(y0c - 1, 0) : y1c + 1, max(x0c - 1, 0) : x1c + 1] = 0
    for row, (truth, cell) in enumerate(visible):
        x0c, y0c, x1c, y1c = cell
        if truth.compact:
            target[y0c:y1c, x0c:x1c] = 1
            weight[y0c:y1c, x0c:x1c] = 1
        if row < MAX_REGIONS:
            regions[row] = cell
    return DenseTarget(target, weight, regions)


def _cells(box: Box, size: tuple[int, int], cells: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The cells whose centres a box covers (at least one), or None when it lies outside the input."""
    spans = []
    for low, high, length, count in (
        (box.x0, box.x1, size[1], cells[1]),
        (box.y0, box.y1, size[0], cells[0]),
    ):
        if high < 0 or low > length - 1:
            return None
        stride = length / count
        # cell i covers pixels [i stride - 0.5, (i + 1) stride - 0.5): its centre is (i + 0.5) stride - 0.5
        first = int(np.ceil((low + 0.5) / stride - 0.5))
        last = int(np.floor((high + 0.5) / stride - 0.5))
        if last < first:
            first = last = int(((low + high) / 2 + 0.5) // stride)
        spans.append((min(max(first, 0), count - 1), min(max(last, 0), count - 1) + 1))
    (x0, x1), (y0, y1) = spans
    return x0, y0, x1, y1
