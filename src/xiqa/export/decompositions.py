"""Backward operations in terms of forward ones, which every ONNX runtime runs fast.

PyTorch's exporter knows no backward operation. Each function here replaces one while a graph is traced.
Runtimes are slow at transposed convolutions of many groups, so a convolution's input gradient becomes a
plain convolution with the turned kernel, over the gradient with zeros between its cells where the stride
is larger than one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch.overrides import TorchFunctionMode

from xiqa.errors import UnsupportedOperationError

__all__ = [
    "InterpolationByMatrices",
    "PoolingByMeans",
    "backward_table",
    "bilinear_matrix",
    "turned_convolution",
]

aten = torch.ops.aten


def turned_convolution(
    grad: Tensor,
    size: Sequence[int],
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    r"""Gradient at a convolution's input, as a convolution.

    .. math:: \frac{\partial L}{\partial x} = \mathrm{conv}\bigl(\uparrow_s g,\; W^\top_\text{turned}\bigr)

    Args:
        grad: ``(N, O, h, w)`` gradient at the output.
        size: (rows, columns) of the input.
        weight: ``(O, I / groups, kh, kw)``.
        stride: Of the convolution, rows and columns.
        padding: Likewise.
        dilation: Likewise.
        groups: Number of groups.

    Returns:
        ``(N, I, H, W)``.
    """
    outputs, inputs, rows, columns = weight.shape
    turned = weight.reshape(groups, outputs // groups, inputs, rows, columns).transpose(1, 2).flip(3, 4)
    turned = turned.reshape(groups * inputs, outputs // groups, rows, columns)
    grad = _spread(grad, stride)
    pads: list[int] = []
    for axis in (1, 0):  # padding is told from the last axis on
        reach = dilation[axis] * (weight.shape[2 + axis] - 1)
        before = reach - padding[axis]
        pads += [before, size[axis] - grad.shape[2 + axis] - before + reach]
    return F.conv2d(F.pad(grad, pads), turned, dilation=tuple(dilation), groups=groups)


def _spread(grad: Tensor, stride: Sequence[int]) -> Tensor:
    """Put zeros behind every cell, stride by stride: repeat it, and keep the first of each block.

    A runtime does that many times faster than padding cell by cell.
    """
    if tuple(stride) == (1, 1):
        return grad
    size = [int(grad.shape[2 + axis]) * stride[axis] for axis in (0, 1)]
    rows, columns = (torch.arange(size[axis]) % stride[axis] == 0 for axis in (0, 1))
    first = (rows[:, None] & columns).to(grad)
    return F.interpolate(grad, size, mode="nearest") * first


def _hardtanh_backward(grad: Tensor, inputs: Tensor, low: float, high: float) -> Tensor:
    """The gradient behind ReLU6 and its kind, told from the *output*, which the forward pass has already."""
    output = F.hardtanh(inputs, low, high)
    return grad * ((output > low) & (output < high)).to(grad.dtype)


def _threshold_backward(grad: Tensor, inputs: Tensor, threshold: float) -> Tensor:
    return grad * (inputs > threshold).to(grad.dtype)


def _avg_pool2d(
    inputs: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Average pooling over a divisor of one's own, which ONNX does not know: a mean, times a number."""
    if divisor_override is None:
        return NotImplemented
    sides = [int(side) for side in kernel]
    cells = sides[0] * sides[-1]
    mean = F.avg_pool2d(inputs, sides, list(stride) or None, list(padding), ceil_mode, count_include_pad=True)
    return mean * (cells / divisor_override)


def _avg_pool2d_backward(
    grad: Tensor,
    inputs: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """The gradient of average pooling: that of a convolution whose kernel is one number everywhere."""
    channels, steps = int(inputs.shape[1]), list(stride) or list(kernel)
    if ceil_mode or (not count_include_pad and any(padding)):
        return NotImplemented  # windows at the border have divisors of their own
    divisor = divisor_override or kernel[0] * kernel[-1]
    weight = torch.full((channels, 1, kernel[0], kernel[-1]), 1 / divisor, dtype=grad.dtype)
    borders = [padding[0], padding[-1]]
    return turned_convolution(
        grad, inputs.shape[2:], weight, [steps[0], steps[-1]], borders, [1, 1], channels
    )


def _convolution_backward(
    grad: Tensor,
    inputs: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Any,
    groups: int,
    mask: Sequence[bool],
) -> tuple[Tensor, None, None]:
    if transposed or weight.dim() != 4 or mask[1]:
        raise UnsupportedOperationError(
            "the gradient of this convolution cannot be exported",
            expected="a plain 2-d convolution with frozen weights",
            got="a transposed one" if transposed else f"weights {tuple(weight.shape)}",
        )
    grads = turned_convolution(grad, inputs.shape[2:], weight, stride, padding, dilation, groups)
    return grads, None, None


def bilinear_matrix(size: int, into: int) -> Tensor:
    """``(into, size)`` weights of linear interpolation along one axis, pixel centres aligned by edges."""
    place = ((torch.arange(into, dtype=torch.float64) + 0.5) * size / into - 0.5).clamp(0, size - 1)
    lower = place.floor().long().clamp_max(size - 1)
    upper = (lower + 1).clamp_max(size - 1)
    part = (place - lower).float()
    rows = torch.arange(into)
    matrix = torch.zeros(into, size)
    matrix.index_put_((rows, lower), 1 - part, accumulate=True)
    matrix.index_put_((rows, upper), part, accumulate=True)
    return matrix


class InterpolationByMatrices(TorchFunctionMode):
    """Bilinear interpolation as two products with constant matrices, whose gradient is two more."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is F.interpolate and kwargs.get("mode") == "bilinear" and not kwargs.get("align_corners"):
            images, size = args[0], kwargs.get("size")
            if size is not None and not kwargs.get("antialias"):
                rows = bilinear_matrix(int(images.shape[2]), int(size[0])).to(images)
                columns = bilinear_matrix(int(images.shape[3]), int(size[1])).to(images)
                return rows @ images @ columns.T
        return function(*args, **kwargs)


class PoolingByMeans(TorchFunctionMode):
    """Global average pooling as a mean, whose gradient hangs on no layout in memory."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in (F.adaptive_avg_pool2d, torch._C._nn.adaptive_avg_pool2d):
            size = args[1] if len(args) > 1 else kwargs.get("output_size")
            if size in (1, (1, 1), [1, 1]):
                return args[0].mean(dim=(-2, -1), keepdim=True)
        return function(*args, **kwargs)


def backward_table() -> dict[Any, Callable[..., Any]]:
    """What to replace while tracing: PyTorch's own decompositions and the ones here."""
    table: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    table[aten.convolution_backward.default] = _convolution_backward
    table[aten.avg_pool2d.default] = _avg_pool2d
    table[aten.avg_pool2d_backward.default] = _avg_pool2d_backward
    table[aten.hardtanh_backward.default] = _hardtanh_backward
    table[aten.threshold_backward.default] = _threshold_backward
    return table
