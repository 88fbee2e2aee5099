"""Which pixels count: what is neither padding nor behind a shutter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from xiqa.types import MaskArray

__all__ = ["padding_range", "shutter_mask"]


def padding_range(data: Dataset) -> tuple[int, int] | None:
    """Smallest and largest stored value that is padding (PS3.3 C.7.5.1.1.2), or None."""
    value = data.get("PixelPaddingValue")
    if value is None or value == "":
        return None
    limit = data.get("PixelPaddingRangeLimit")
    ends = int(value), int(value if limit is None or limit == "" else limit)
    return min(ends), max(ends)


def shutter_mask(data: Dataset, size: tuple[int, int]) -> MaskArray | None:
    """True inside every display shutter (PS3.3 C.7.6.11), edges included; None without a shutter.

    DICOM counts rows and columns from 1.
    """
    shapes = data.get("ShutterShape")
    if not shapes:
        return None
    shapes = [shapes] if isinstance(shapes, str) else list(shapes)
    draw = {"RECTANGULAR": _rectangle, "CIRCULAR": _circle, "POLYGONAL": _polygon}
    masks = [draw[shape](data, size) for shape in shapes if shape in draw]
    return np.logical_and.reduce(masks) if masks else None


def _rectangle(data: Dataset, size: tuple[int, int]) -> MaskArray:
    mask = np.zeros(size, dtype=bool)
    top, left = int(data.ShutterUpperHorizontalEdge) - 1, int(data.ShutterLeftVerticalEdge) - 1
    bottom, right = int(data.ShutterLowerHorizontalEdge), int(data.ShutterRightVerticalEdge)
    mask[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    return mask


def _circle(data: Dataset, size: tuple[int, int]) -> MaskArray:
    row, column = (int(number) - 1 for number in data.CenterOfCircularShutter)
    radius = float(data.RadiusOfCircularShutter)
    down = np.arange(size[0], dtype=np.float64)[:, None] - row
    along = np.arange(size[1], dtype=np.float64)[None, :] - column
    return np.asarray(down**2 + along**2 <= radius**2)


def _polygon(data: Dataset, size: tuple[int, int]) -> MaskArray:
    corners: NDArray[Any] = np.asarray(data.VerticesOfThePolygonalShutter, dtype=np.int64).reshape(-1, 2) - 1
    canvas = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon([(int(x), int(y)) for y, x in corners], fill=1, outline=1)
    return np.array(canvas)
