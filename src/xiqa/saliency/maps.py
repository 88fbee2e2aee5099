"""What is done to a raw map before a person sees it: enlarge, smooth, normalise.

Every step takes an array ``(h, w)`` or a `SaliencyMap` and gives the same kind back, with the step recorded.
No torch here, so that an exported model's maps are treated by the same code without it.
"""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import SaliencyError
from xiqa.types import FloatArray, SaliencyMap

__all__ = ["bilinear_weights", "is_constant", "normalise", "smooth", "upsample", "values_of"]

_Map = TypeVar("_Map", bound=SaliencyMap | FloatArray)


def values_of(saliency: SaliencyMap | FloatArray, dims: tuple[int, ...] = (2,)) -> FloatArray:
    """The array inside, checked.

    Args:
        saliency: A map.
        dims: How many axes it may have.

    Raises:
        SaliencyError: Another number of axes, or no element.
    """
    values = saliency.values if isinstance(saliency, SaliencyMap) else np.asarray(saliency, dtype=np.float32)
    if values.ndim not in dims or values.size == 0:
        wanted = " or ".join("(h, w)" if axes == 2 else "(d, h, w)" for axes in dims)
        raise SaliencyError("not a saliency map", expected=f"an array {wanted}", got=f"shape {values.shape}")
    return values


def is_constant(values: FloatArray) -> bool:
    """Whether a finite map is the same everywhere up to the rounding that enlarging leaves, 1e-6 of its size.

    >>> is_constant(np.full((3, 3), 0.1, np.float32))
    True
    """
    low, high = float(values.min()), float(values.max())
    return isfinite(low) and isfinite(high) and high - low <= 1e-6 * max(abs(low), abs(high))


def upsample(saliency: _Map, size: tuple[int, ...] | None = None) -> _Map:
    r"""The map on a grid of another size, bilinear, as ``F.interpolate(align_corners=False)`` does it.

    Every axis is linear, so the result is :math:`R\, M\, C^\top` with two small matrices, three of a volume.

    Args:
        saliency: ``(h, w)``, or ``(d, h, w)`` of a volume.
        size: (rows, columns) of the new grid, (slices, rows, columns) of a volume; by default the model's
            input, for a `SaliencyMap`.

    Returns:
        ``(H, W)`` or ``(D, H, W)``.

    >>> upsample(np.array([[0.0, 4.0]], np.float32), (1, 4)).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    values = values_of(saliency, (2, 3))
    if size is None:
        if not isinstance(saliency, SaliencyMap) or 0 in saliency.input_size:
            raise SaliencyError("no size to enlarge to", expected="size=(rows, columns)")
        size = saliency.input_size
    if len(size) != values.ndim:
        raise SaliencyError("no size of this map", expected=f"{values.ndim} sides", got=str(size))
    *depth, rows, columns = (bilinear_weights(*sides) for sides in zip(values.shape, size, strict=True))
    larger = rows @ values @ columns.T
    if depth:
        larger = np.tensordot(depth[0], larger, axes=1)
    return _step(saliency, f"upsample(size={'x'.join(map(str, size))})", larger)


def smooth(saliency: _Map, sigma: float = 1.0, size: int = 11) -> _Map:
    r"""A Gaussian blur with a window of ``size`` pixels, mirrored at the border (edge pixels not repeated).

    .. math:: k(i) \propto e^{-i^2 / 2 \sigma^2}, \qquad \sum_i k(i) = 1

    Args:
        saliency: ``(h, w)``.
        sigma: Width in pixels; 0 leaves the map as it is.
        size: Pixels of the window, odd. The default pair is what ozer2025consistent smooths with, at full
            resolution.

    Returns:
        ``(h, w)``.
    """
    values = values_of(saliency)
    if size < 1 or size % 2 == 0 or sigma < 0:
        raise SaliencyError("no such window", expected="an odd size and sigma >= 0", got=f"{size}, {sigma}")
    if sigma > 0:
        offsets = np.arange(size) - size // 2
        kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
        kernel = (kernel / kernel.sum()).astype(np.float32)
        values = _blur_rows(_blur_rows(values, kernel).T, kernel).T
    return _step(saliency, f"smooth(sigma={sigma}, size={size})", values)


def normalise(saliency: _Map, how: str = "minmax") -> _Map:
    r"""The map on a common scale.

    Args:
        saliency: ``(h, w)`` or ``(d, h, w)``.
        how: ``minmax``: from its minimum and maximum to [0, 1], a constant map to 0; ``max``: divided by the
            largest absolute value, so that signs and zero stay; ``sum``: positive part with sum 1.

    Returns:
        ``(h, w)``; all zero where there is nothing to divide by.
    """
    values = values_of(saliency, (2, 3))
    if how == "minmax":
        low = values.min()
        shifted, scale = values - low, 0.0 if is_constant(values) else float(values.max() - low)
    elif how == "max":
        shifted, scale = values, float(np.abs(values).max())
    elif how == "sum":
        shifted = np.maximum(values, 0)
        scale = float(shifted.sum())
    else:
        raise SaliencyError("unknown normalisation", expected="minmax, max or sum", got=repr(how))
    # a NaN is no scale either: it stays visible in the result
    return _step(saliency, f"normalise({how})", shifted / scale if scale != 0 else np.zeros_like(values))


@lru_cache(maxsize=64)
def bilinear_weights(old: int, new: int) -> FloatArray:
    """Weights ``(new, old)`` of linear interpolation along one axis; each row sums to 1."""
    if new < 1:
        raise SaliencyError("no such size", expected="1 or more pixels", got=str(new))
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, None)
    left = np.minimum(places.astype(np.intp), old - 1)
    right = np.minimum(left + 1, old - 1)
    part = places - left
    weights = np.zeros((new, old), dtype=np.float32)
    rows = np.arange(new)
    np.add.at(weights, (rows, left), 1 - part)
    np.add.at(weights, (rows, right), part)
    weights.setflags(write=False)
    return weights


def _blur_rows(values: NDArray[Any], kernel: FloatArray) -> NDArray[Any]:
    """Convolve down the first axis."""
    half = len(kernel) // 2
    padded = np.pad(values, ((half, half), (0, 0)), mode="reflect")
    total = np.zeros_like(values)
    for start, weight in enumerate(kernel):
        total += weight * padded[start : start + len(values)]
    return total


def _step(saliency: _Map, step: str, values: NDArray[Any]) -> _Map:
    done = np.ascontiguousarray(values, dtype=np.float32)
    return cast("_Map", saliency.then(step, done) if isinstance(saliency, SaliencyMap) else done)
