"""Small truths and maps that the metric tests share."""

import numpy as np

from xiqa.geometry import Box, Point
from xiqa.types import Annotation

SIZE = (24, 32)
BOX = Annotation(Box(4, 5, 11, 9))
ELLIPSE = Annotation(Box(15, 2, 26, 11), ellipse=True)
POLYGON = Annotation(Box(2, 13, 12, 22), polygon=(Point(2, 13), Point(12, 15), Point(9, 22), Point(4, 19.5)))


def pixels(*, rows: slice, columns: slice) -> Annotation:
    mask = np.zeros(SIZE, bool)
    mask[rows, columns] = True
    return Annotation(Box(columns.start, rows.start, columns.stop - 1, rows.stop - 1), mask=mask)


MASK = pixels(rows=slice(15, 20), columns=slice(20, 29))
OBJECTS = [BOX, ELLIPSE, POLYGON, MASK]
FULL = [pixels(rows=slice(0, SIZE[0]), columns=slice(0, SIZE[1]))]


def random_map(seed: int, size=SIZE, *, levels: int | None = None) -> np.ndarray:
    """Uniform noise; with `levels`, so coarse that many pixels tie."""
    values = np.random.default_rng(seed).random(size)
    return values if levels is None else np.floor(values * levels) / levels


def spike(x: int, y: int, size=SIZE) -> np.ndarray:
    values = np.zeros(size)
    values[y, x] = 1.0
    return values
