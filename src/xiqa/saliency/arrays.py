"""What probe methods do with numbers, on PyTorch's tensors and on NumPy's arrays alike.

A probe method that is written with these, with operators and with what both libraries call by the same name
(``library(x).concatenate``, ``amax``, ``einsum``; ``axis=`` and ``keepdims=``) explains a network as well as
an exported model, which gives NumPy arrays on a machine without PyTorch.
"""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from xiqa.saliency.maps import bilinear_weights

__all__ = ["A", "Array", "enlarge", "library", "like", "places", "softmax", "stretch", "to_numpy", "uniform"]

#: A `torch.Tensor` or a NumPy array.
Array: TypeAlias = Any
#: One of the two, where the result is of the same kind.
A = TypeVar("A", bound=Any)


def library(array: Array) -> Any:
    """The module whose functions take this array: ``torch`` or ``numpy``."""
    if isinstance(array, np.ndarray):
        return np
    import torch  # noqa: PLC0415 - NumPy's arrays need no torch

    return torch


def to_numpy(array: Array) -> NDArray[Any]:
    """The array in NumPy, in this machine's memory; half precision as float32, which its functions take."""
    if isinstance(array, np.ndarray):
        return array
    known = array.detach().cpu()
    return np.asarray(known.float() if known.is_floating_point() and known.element_size() < 4 else known)


def like(values: NDArray[Any], array: A) -> A:
    """Values in the library, of the type and on the device of another array."""
    result: Any = (
        values.astype(array.dtype, copy=False)
        if isinstance(array, np.ndarray)
        else library(array).from_numpy(np.ascontiguousarray(values)).to(array)
    )
    return cast("A", result)


def uniform(seed: int, *shapes: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """Uniform numbers in [0, 1), 24 bits each: what ``torch.rand`` draws from a generator of this seed.

    Args:
        seed: 0 to 2**32 - 1.
        *shapes: Of the arrays, drawn one after the other.

    >>> uniform(0, (2,))[0].round(4)
    array([0.4963, 0.7682], dtype=float32)
    """
    twister = np.random.RandomState(seed)
    drawn = [twister.randint(0, 2**32, size=shape, dtype=np.uint32) for shape in shapes]
    return [(bits & np.uint32(2**24 - 1)).astype(np.float32) * np.float32(2**-24) for bits in drawn]


def softmax(values: A) -> A:
    r"""Softmax over the first axis, :math:`e^{x_i} / \sum_k e^{x_k}`."""
    powers = library(values).exp(values - values.max())
    return cast("A", powers / powers.sum())


def places(array: Array, first: int = 2) -> tuple[int, ...]:
    """The axes of an array's places: all from ``first`` on, two of images, three of volumes.

    >>> places(np.zeros((1, 3, 4, 5, 6)))
    (2, 3, 4)
    """
    return tuple(range(first, len(array.shape)))


def enlarge(maps: A, size: tuple[int, ...]) -> A:
    """Maps ``(N, [d,] h, w)`` on a grid of another size, (tri)linear with ``align_corners=False``."""
    if tuple(maps.shape[1:]) == size:
        return maps
    if isinstance(maps, np.ndarray):
        *depth, rows, columns = (bilinear_weights(*sides) for sides in zip(maps.shape[1:], size, strict=True))
        larger = rows @ maps @ columns.T
        for slices in depth:
            larger = np.moveaxis(np.moveaxis(larger, 1, -1) @ slices.T, -1, 1)
        return cast("A", larger.astype(maps.dtype, copy=False))
    mode = "trilinear" if len(size) == 3 else "bilinear"
    interpolate = library(maps).nn.functional.interpolate
    return cast("A", interpolate(maps[:, None], size, mode=mode, align_corners=False)[:, 0])


def stretch(maps: A) -> A:
    """Each map ``(N, [d,] h, w)`` from its own minimum and maximum to [0, 1]; a constant one becomes 0."""
    both, axes = library(maps), places(maps, 1)
    low, high = (find(maps, axis=axes, keepdims=True) for find in (both.amin, both.amax))
    return cast("A", (maps - low) / both.where(high > low, high - low, both.ones_like(high)))
