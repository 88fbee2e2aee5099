"""Which pixels count: what is neither padding nor behind a shutter."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from xiqa.imaging.dicom.elements import BrokenElementError, choices, numbers
from xiqa.types import MaskArray

__all__ = ["padding_range", "shutter_mask"]


def padding_range(data: Dataset, notes: list[str]) -> tuple[int, int] | None:
    """Smallest and largest stored value that is padding (PS3.3 C.7.5.1.1.2), or None.

    A value or a limit that is no single number is left out, with a note.
    """
    value = _optional(data, "PixelPaddingValue", 1, notes)
    if value is None:
        return None
    limit = _optional(data, "PixelPaddingRangeLimit", 1, notes) or value
    first, last = round(value[0]), round(limit[0])
    return min(first, last), max(first, last)


def shutter_mask(data: Dataset, size: tuple[int, int], notes: list[str]) -> MaskArray | None:
    """True inside every display shutter (PS3.3 C.7.6.11), edges included; None without a shutter.

    DICOM counts rows and columns from 1. A shutter without its edges is left out, with a note.
    """
    draw = {"RECTANGULAR": _rectangle, "CIRCULAR": _circle, "POLYGONAL": _polygon}
    masks = []
    for shape in choices(data, "ShutterShape"):
        mask = draw[shape](data, size, notes) if shape in draw else None
        if mask is None:
            notes.append(f"a shutter of shape {shape[:16]} was left out")
        else:
            masks.append(mask)
    return np.logical_and.reduce(masks) if masks else None


def _optional(data: Dataset, keyword: str, count: int, notes: list[str]) -> list[float] | None:
    """So many numbers of an element that an image can do without; None where it has others, with a note."""
    try:
        values = numbers(data, keyword, notes)
    except BrokenElementError as error:
        notes.append(f"{error}; it was left out")
        return None
    if values and len(values) != count:
        notes.append(f"{keyword} has {len(values)} values instead of {count}; it was left out")
    return values if len(values) == count else None


def _rectangle(data: Dataset, size: tuple[int, int], notes: list[str]) -> MaskArray | None:
    edges = ("UpperHorizontal", "LeftVertical", "LowerHorizontal", "RightVertical")
    positions = [_optional(data, f"Shutter{edge}Edge", 1, notes) for edge in edges]
    if any(edge is None for edge in positions):
        return None
    top, left, bottom, right = (round(edge[0]) for edge in positions if edge)
    mask = np.zeros(size, dtype=bool)
    mask[max(top - 1, 0) : max(bottom, 0), max(left - 1, 0) : max(right, 0)] = True
    return mask


def _circle(data: Dataset, size: tuple[int, int], notes: list[str]) -> MaskArray | None:
    centre = _optional(data, "CenterOfCircularShutter", 2, notes)
    radius = _optional(data, "RadiusOfCircularShutter", 1, notes)
    if centre is None or radius is None:
        return None
    down = np.arange(size[0], dtype=np.float64)[:, None] - (round(centre[0]) - 1)
    along = np.arange(size[1], dtype=np.float64)[None, :] - (round(centre[1]) - 1)
    return np.asarray(down**2 + along**2 <= radius[0] ** 2)


def _polygon(data: Dataset, size: tuple[int, int], notes: list[str]) -> MaskArray | None:
    try:
        values = numbers(data, "VerticesOfThePolygonalShutter", notes)
    except BrokenElementError as error:
        notes.append(str(error))
        return None
    if len(values) < 6 or len(values) % 2:
        return None
    corners = [(round(x) - 1, round(y) - 1) for y, x in zip(values[::2], values[1::2], strict=True)]
    canvas = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon(corners, fill=1, outline=1)
    return np.array(canvas)
