r"""Slopes between two points, the building stone of rules that keep sums.

Every rule of LRP and DeepLIFT here is one statement: multipliers :math:`m` of an operation
:math:`f(x_1, \dots, x_k)` satisfy :math:`\sum_i m_i (x_i - x_i^0) = f(x) - f(x^0)`. For DeepLIFT the root
:math:`x^0` is the reference's value; for LRP it is zero, and :math:`f(0)` belongs to the bias.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xiqa.saliency.relevance.operations import SMOOTH
from xiqa.saliency.relevance.step import Step

__all__ = ["normalised", "pooled", "secant", "slope", "softmaxed"]


def slope(
    y: Tensor,
    y0: Tensor,
    x: Tensor,
    x0: Tensor,
    derivative: Callable[[Tensor], Tensor],
    *,
    smooth: bool = True,
) -> Tensor:
    r"""The slope of the secant, :math:`(y - y^0) / (x - x^0)`, and the derivative where the points meet.

    Of a smooth function the derivative in the middle is taken already where the points nearly meet: there it
    is exact to :math:`O((x - x^0)^2)`, while the secant would lose its digits. Of a piecewise linear function
    the secant is right up to a kink between two near points.
    """
    delta = x - x0
    near = delta.abs() < torch.finfo(x.dtype).eps ** (1 / 3) if smooth else delta == 0
    if not near.any():
        return (y - y0) / delta
    delta = delta.masked_fill(near, 1)
    return torch.where(near, derivative((x + x0) / 2), (y - y0) / delta)


def secant(step: Step) -> Tensor:
    """The slope of an activation between its operand and the root."""
    x, x0 = step.inputs[0], step.roots[0]

    def derivative(middle: Tensor) -> Tensor:
        slope = step.vjp([torch.ones_like(middle)], middle)[0]
        assert slope is not None
        return slope

    return slope(step.output, step.output_root, x, x0, derivative, smooth=step.name in SMOOTH)


def softmaxed(step: Step, multiplier: Tensor) -> Tensor:
    r"""Softmax or its logarithm over their axis, in the logarithm.

    With :math:`u_i = x_i - \log \sum_j e^{x_j}` and :math:`p_i = e^{u_i}`: a secant of the exponential, and
    for the logarithm of the sum the weights of `_log_sum_weights`.
    """
    axis = step.node.args[1]
    x, x0 = step.inputs[0], step.roots[0]
    if step.name != "_log_softmax":
        u, u0 = x.log_softmax(axis), x0.log_softmax(axis)
        multiplier = multiplier * slope(u.exp(), u0.exp(), u, u0, torch.exp)
    return multiplier - _log_sum_weights(x, x0, (axis,)) * multiplier.sum(axis, keepdim=True)


def pooled(step: Step, multiplier: Tensor) -> Tensor:
    """The logarithm of a sum of exponentials over some axes, a smooth maximum; see `_log_sum_weights`."""
    x, x0 = step.inputs[0], step.roots[0]
    axes = tuple(sorted(axis % x.dim() for axis in step.node.args[1])) or tuple(range(x.dim()))
    if multiplier.dim() < x.dim():
        for axis in axes:
            multiplier = multiplier.unsqueeze(axis)
    return multiplier * _log_sum_weights(x, x0, axes)


def _log_sum_weights(x: Tensor, x0: Tensor, axes: tuple[int, ...]) -> Tensor:
    r"""Weights that tell the change of :math:`L = \log S = \log \sum_j e^{x_j}` exactly.

    .. math::
       w_j = \frac{L - L^0}{S - S^0} \cdot \frac{e^{x_j} - e^{x_j^0}}{x_j - x_j^0}, \qquad
       \sum_j w_j (x_j - x_j^0) = L - L^0

    None is negative, and where the points meet they are the softmax.
    """
    top = torch.maximum(x, x0).amax(axes, keepdim=True)
    x, x0 = x - top, x0 - top
    e, e0 = x.exp(), x0.exp()
    s, s0 = e.sum(axes, keepdim=True), e0.sum(axes, keepdim=True)
    log_s, log_s0 = x.logsumexp(axes, keepdim=True), x0.logsumexp(axes, keepdim=True)  # finite where s is 0
    return slope(e, e0, x, x0, torch.exp) * slope(log_s, log_s0, s, s0, torch.reciprocal)


def normalised(step: Step, multiplier: Tensor, *, frozen: bool) -> Tensor:
    r"""Layer, group, instance or RMS norm.

    With :math:`c = x - \bar x` (RMS norm: :math:`c = x`), :math:`s^2 = \overline{c^2} + \epsilon` and
    :math:`\hat y = c / s`. Frozen, :math:`s` is a constant, as LRP takes it, and the rest
    is linear. Else (DeepLIFT)

    .. math::
       \Delta \hat y = \frac{2 \Delta c}{s + s^0} - \frac{(\hat y + \hat y^0) \, \Delta s^2}{(s + s^0)^2},
       \qquad \Delta s^2 = \overline{(c + c^0) \Delta c}

    is exact, and finite even where a reference is constant (:math:`s^0 \to 0`).
    """
    x, x0, g, dims, eps = _standard_form(step, multiplier)
    centred = step.name != "_fused_rms_norm"

    def parts(value: Tensor) -> tuple[Tensor, Tensor]:
        c = value - value.mean(dims, keepdim=True) if centred else value
        return c, (c.square().mean(dims, keepdim=True) + eps).sqrt()

    c, s = parts(x)
    if frozen:
        result = g / s
    else:
        c0, s0 = parts(x0)
        by_scale = (g * (c / s + c0 / s0)).sum(dims, keepdim=True) / (c.numel() / s.numel())
        result = 2 * g / (s + s0) - by_scale * (c + c0) / (s + s0).square()
    if centred:
        result = result - result.mean(dims, keepdim=True)
    return result.reshape(step.inputs[0].shape)


def _standard_form(step: Step, multiplier: Tensor) -> tuple[Tensor, Tensor, Tensor, tuple[int, ...], float]:
    """Operand, root, multiplier of the normalised value, the axes to normalise over, and epsilon."""
    x, x0 = step.inputs[0], step.roots[0]
    args = step.node.args
    if step.name == "native_group_norm":
        weight, groups, eps = args[1], args[6], args[7]
        weighted = multiplier if weight is None else multiplier * weight.view(-1, *[1] * (x.dim() - 2))
        shape = (x.shape[0], groups, -1)
        return x.reshape(shape), x0.reshape(shape), weighted.reshape(shape), (2,), eps
    if step.name == "instance_norm":
        weight, eps = args[1], args[7]
        weighted = multiplier if weight is None else multiplier * weight.view(-1, *[1] * (x.dim() - 2))
        return x, x0, weighted, tuple(range(2, x.dim())), eps
    weight, eps = args[2], args[4] if step.name == "native_layer_norm" else args[3]
    if eps is None:
        eps = torch.finfo(x.dtype).eps
    return x, x0, multiplier if weight is None else multiplier * weight, tuple(range(-len(args[1]), 0)), eps
