"""From the numbers in a file to pixels in [0, 1], and from colour to grey."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import ImageReadError
from xiqa.imaging.blocks import blockwise, scale
from xiqa.types import FloatArray

__all__ = ["narrowed", "to_grey", "to_unit"]

_NARROW = (8, 10, 12, 14)
_LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)


def narrowed(values: NDArray[Any], bits: int, notes: list[str]) -> int:
    """The bits that 16-bit samples use: cameras and converters leave 8 to 14 bits as they are in 16.

    Args:
        values: Samples.
        bits: Bits that the file declares.
        notes: Gets a line where it is fewer than these.

    >>> narrowed(np.array([0, 4000], np.uint16), 16, []), narrowed(np.array([0, 40000], np.uint16), 16, [])
    (12, 16)
    """
    if values.dtype != np.uint16 or bits != 16 or not values.size:
        return bits
    largest = int(values.max())
    used = next((narrow for narrow in _NARROW if largest < 1 << narrow), 16)
    if largest < 2 or used == 16:  # nothing, or a mask
        return bits
    notes.append(f"the samples use {used} of 16 bits (largest {largest}) and were scaled by these")
    return used


def to_unit(values: NDArray[Any], bits: int | None = None) -> tuple[FloatArray, int]:
    """Values scaled to [0, 1] by what their type or their bits can express, and these bits.

    Whole numbers without a sign are divided by the largest that their bits can express; floats must be in
    [0, 1] already, because nothing tells their range.

    Args:
        values: Samples.
        bits: Bits that a sample uses, where they are fewer than the type's.

    Raises:
        ImageReadError: ``not_finite``, ``range`` or ``unsupported_type``.

    >>> to_unit(np.array([0, 255], dtype=np.uint8))
    (array([0., 1.], dtype=float32), 8)
    """
    if values.dtype == np.bool_:
        return values.astype(np.float32), 1
    if values.dtype.kind == "u":
        bits = bits or 8 * values.dtype.itemsize
        return blockwise(scale(0, 1 / ((1 << bits) - 1)), values, np.dtype(np.float32)), bits
    if values.dtype.kind != "f":
        raise ImageReadError(
            "pixels of this type have no known range",
            code="unsupported_type",
            expected="unsigned whole numbers, booleans, or floats in [0, 1]",
            got=str(values.dtype),
        )
    if not np.isfinite(values).all():
        raise ImageReadError("the pixels hold NaN or infinity", code="not_finite", expected="numbers")
    if values.size and (values.min() < 0 or values.max() > 1):
        raise ImageReadError(
            "the pixels are out of range",
            code="range",
            expected="floats in [0, 1]",
            got=f"[{values.min():g}, {values.max():g}]",
            todo="scale them, or save them as uint16",
        )
    return values.astype(np.float32), 8 * values.dtype.itemsize


def to_grey(pixels: FloatArray) -> FloatArray:
    r"""Grey values of grey or RGB pixels: :math:`0.2126 R + 0.7152 G + 0.0722 B` (ITU-R BT.709 luma).

    Args:
        pixels: ``(H, W)`` or ``(H, W, 3)`` in [0, 1].

    Returns:
        ``(H, W)`` in [0, 1].

    >>> to_grey(np.ones((1, 1, 3), dtype=np.float32))
    array([[1.]], dtype=float32)
    """
    if pixels.ndim == 2:
        return pixels
    return np.asarray((pixels @ _LUMA).clip(0, 1), dtype=np.float32)
