"""From the numbers in a file to pixels in [0, 1], and from colour to grey."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import ImageReadError
from xiqa.imaging.blocks import blockwise, scale
from xiqa.types import FloatArray

__all__ = ["to_grey", "to_unit"]

_LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)


def to_unit(values: NDArray[Any]) -> tuple[FloatArray, int]:
    """Values scaled to [0, 1] by what their type can express, and the type's bits.

    Whole numbers without a sign are divided by their type's largest; floats must be in [0, 1] already,
    because nothing tells their range.

    Raises:
        ImageReadError: ``not_finite``, ``range`` or ``unsupported_type``.

    >>> to_unit(np.array([0, 255], dtype=np.uint8))
    (array([0., 1.], dtype=float32), 8)
    """
    if values.dtype == np.bool_:
        return values.astype(np.float32), 1
    if values.dtype.kind == "u":
        bits = 8 * values.dtype.itemsize
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
