"""The range of grey values to show where a file does not say which.

Sixteen bits hold far more values than most images use: shown by the range of the bits, a brain lies between
0.500 and 0.502. Then the pixels themselves say where the picture is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xiqa.imaging.dicom.display import Display, modality_range, to_modality
from xiqa.imaging.dicom.tables import Range
from xiqa.types import MaskArray

__all__ = ["with_range"]

_TAILS = (0.5, 99.5)  # per cent of the pixels; what lies beyond is no tissue
_LOOKED_AT = 65_536  # pixels are enough to know a range
_FULL = 0.5  # part of what can be expressed, from which on an image uses its bits
_AS_THEY_ARE = ("RTDOSE", "RTIMAGE", "RTSTRUCT", "RTPLAN", "RTRECORD", "SEG")  # numbers, no pictures


def with_range(
    display: Display, values: NDArray[Any], mask: MaskArray | None, stored: Range, bits: int, modality: str
) -> Display:
    """The transforms with the range that is to be shown, where they name neither a window nor a VOI table.

    Of up to 8 bits, and of images that use half of what they can express, everything that they can express is
    shown. Of others the range comes from the pixels: their middle 99 per cent inside the ellipse that touches
    the image's sides, so that what is burned into the corners does not count, without padding, and without
    one value by which many pixels lie farther from the others than these from one another.

    Args:
        display: The transforms.
        values: ``(H, W)`` stored numbers.
        mask: False on padding and outside of the shutter.
        stored: Smallest and largest stored value that can be expressed.
        bits: Bits stored.
        modality: DICOM modality; dose and segmentations are shown as they are.
    """
    low, high = modality_range(display, stored)
    window = None
    note = "the range of the bits stored is shown"
    if display.modality is not None:
        note = f"the modality table's own range is shown, {low:g} to {high:g}"
    if bits > 8 and modality not in _AS_THEY_ARE:
        first, last = _used(to_modality(_looked_at(values, mask), display))
        if 0 < last - first < _FULL * (high - low):
            window = (first + last) / 2, last - first
            note = f"the range {first:g} to {last:g} was chosen from the pixels"
    notes = (*display.notes, f"no VOI transform: {note}")
    return replace(display, window=window, function="LINEAR_EXACT", notes=notes)


def _looked_at(values: NDArray[Any], mask: MaskArray | None) -> NDArray[Any]:
    """A sample of the pixels that count, without the image's corners."""
    step = max(1, int(np.sqrt(values.size / _LOOKED_AT)))
    rows, columns = (np.linspace(-1, 1, size)[::step] if size > 1 else np.zeros(1) for size in values.shape)
    inside = rows[:, None] ** 2 + columns[None, :] ** 2 <= 0.95
    few = values[::step, ::step]
    if mask is not None:
        inside &= mask[::step, ::step]
    visible = few[inside]
    return visible if visible.size else few.reshape(-1)


def _used(values: NDArray[np.float64]) -> Range:
    """The range of the middle of the values; all of them where most are the same."""
    for extreme in (values.min(), values.max()):
        rest = values[values != extreme]
        if 0 < rest.size < (1 - _TAILS[0] / 100) * values.size:
            low, high = np.percentile(rest, _TAILS)
            if max(low - extreme, extreme - high) > high - low > 0:
                values = rest
    low, high = np.percentile(values, _TAILS)
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)
