"""Passes over an image in blocks that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["blockwise", "look_up", "scale"]

_BLOCK = 1 << 16

Step = Callable[[NDArray[Any], NDArray[Any]], None]


def blockwise(step: Step, values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A new array of the same shape, filled block by block by ``step(values, out)``.

    What lies between the values and the result never leaves the cache and takes no memory.

    >>> blockwise(lambda values, out: np.multiply(values, 2, out=out), np.arange(3), np.dtype(int))
    array([0, 2, 4])
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    result = np.empty(flat.size, dtype=dtype)
    for start in range(0, flat.size, _BLOCK):
        step(flat[start : start + _BLOCK], result[start : start + _BLOCK])
    return result.reshape(values.shape)


def look_up(table: NDArray[Any]) -> Step:
    """A step for `blockwise` that looks whole numbers up in a table with an entry for each."""
    buffer = np.empty(_BLOCK, dtype=np.intp)

    def step(values: NDArray[Any], out: NDArray[Any]) -> None:
        index = buffer[: values.size]
        index[...] = values
        table.take(index, out=out, mode="wrap")  # no index is out of range; other modes copy first

    return step


def scale(zero: float, gain: float, *, clip: bool = False) -> Step:
    """A step for `blockwise`: ``(values - zero) * gain`` in float32, if asked for clipped to [0, 1]."""
    first, factor = np.float32(zero), np.float32(gain)

    def step(values: NDArray[Any], out: NDArray[Any]) -> None:
        out[...] = values
        if zero:
            np.subtract(out, first, out=out)
        np.multiply(out, factor, out=out)
        if clip:
            out.clip(0, 1, out=out)

    return step
