r"""Grad-CAM and its kin: sums of the channels, weighted by what the gradient says of each channel or place.

With A a layer's output, :math:`g_k(u) = \partial z_c / \partial A_k(u)` and mean and sums over places:

===========  ==================================================================================
method       map at u
===========  ==================================================================================
Grad-CAM     :math:`\sum_k \bar g_k A_k(u)`
Grad-CAM++   :math:`\sum_k A_k(u) \sum_v \alpha_k(v) g_k(v)^+`, alpha from powers of g
XGrad-CAM    :math:`\sum_k A_k(u) \sum_v g_k(v) A_k(v) / \sum_v A_k(v)`
HiResCAM     :math:`\sum_k g_k(u) A_k(u)`
LayerCAM     :math:`\sum_k g_k(u)^+ A_k(u)`
===========  ==================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from xiqa.saliency.arrays import places
from xiqa.saliency.registry import Needs, layer_method

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.saliency.capture import LayerRecord

__all__ = ["gradcam", "gradcampp", "hirescam", "layercam", "plusplus_weights", "weighted_sum", "xgradcam"]

_READS = Needs.OUTPUT | Needs.GRAD


def weighted_sum(weights: Tensor, output: Tensor, *, relu: bool = True) -> Tensor:
    """The channels ``(N, C, [d,] h, w)``, weighted by ``(N, C)``, summed: ``(N, [d,] h, w)``."""
    total = torch.einsum("nk,nk...->n...", weights, output)
    return total.relu() if relu else total


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The ratio, 0 where there is nothing to divide by."""
    return torch.where(denominator == 0, 0, numerator / torch.where(denominator == 0, 1, denominator))


@layer_method("gradcam", needs=_READS, cite="selvaraju2017gradcam", dims=(2, 3))
def gradcam(layer: LayerRecord, *, relu: bool = True) -> Tensor:
    r"""Grad-CAM: the channels' sum, weighted by the mean of each channel's gradient.

    .. math:: L = \mathrm{ReLU}\Big(\sum_k \alpha_k A_k\Big), \qquad
       \alpha_k = \frac{1}{hw} \sum_u \frac{\partial z_c}{\partial A_k(u)}

    Args:
        layer: Output A and gradient, ``(N, C, h, w)``.
        relu: Whether to keep the positive part alone, as the source does.

    Returns:
        ``(N, h, w)``, not negative unless ``relu=False``. Source: selvaraju2017gradcam, eqs. 1 and 2.
    """
    return weighted_sum(layer.grad.mean(dim=places(layer.grad)), layer.output, relu=relu)


@layer_method("gradcampp", needs=_READS, cite="chattopadhay2018gradcampp", dims=(2, 3))
def gradcampp(layer: LayerRecord) -> Tensor:
    r"""Grad-CAM++: channels weighted by a weighted mean of their positive gradients.

    .. math:: L = \mathrm{ReLU}\Big(\sum_k w_k A_k\Big), \quad w_k = \sum_u \alpha_k(u)\, g_k(u)^+, \quad
       \alpha_k(u) = \frac{g_k(u)^2}{2 g_k(u)^2 + \sum_v A_k(v)\, g_k(u)^3}
       = \frac{1}{2 + g_k(u) \sum_v A_k(v)}

    The last form takes half the time, and no power of a small gradient underflows in it. The second and third
    derivatives are those of :math:`e^{z_c}` on a piecewise linear network. Its common factor :math:`e^{z_c}`
    in w is left out: it scales the map, and overflows.

    Args:
        layer: Output A and gradient g, ``(N, C, h, w)``.

    Returns:
        ``(N, h, w)``, not negative. Source: chattopadhay2018gradcampp, eqs. 5, 6 and 19.
    """
    over = places(layer.output)
    below = layer.grad * layer.output.sum(dim=over, keepdim=True) + 2
    weights = torch.where(below == 0, 0, layer.grad.relu() / below).sum(dim=over)
    return weighted_sum(weights, layer.output)


def plusplus_weights(output: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    r"""Weights of channels ``(N, C)`` from the first three derivatives :math:`D_1, D_2, D_3`.

    .. math:: w_k = \sum_u \frac{D_2(u)}{2 D_2(u) + D_3(u) \sum_v A_k(v)} D_1(u)^+

    A place where the denominator is 0 has weight 0.
    """
    mass = output.sum(dim=places(output), keepdim=True)
    return (_divide(second, 2 * second + third * mass) * first.relu()).sum(dim=places(output))


@layer_method("xgradcam", needs=_READS, cite="fu2020xgradcam", dims=(2, 3))
def xgradcam(layer: LayerRecord, *, relu: bool = True) -> Tensor:
    r"""XGrad-CAM: channels weighted by the mean of their gradients where they are active.

    .. math:: L = \mathrm{ReLU}\Big(\sum_k \alpha_k A_k\Big), \qquad
       \alpha_k = \sum_u \frac{A_k(u)}{\sum_v A_k(v)}\, g_k(u)

    A channel whose sum is 0 has weight 0.

    Args:
        layer: Output A and gradient g, ``(N, C, h, w)``.
        relu: Whether to keep the positive part alone.

    Returns:
        ``(N, h, w)``. Source: fu2020xgradcam, eq. 8.
    """
    over = places(layer.output)
    weights = _divide((layer.output * layer.grad).sum(dim=over), layer.output.sum(dim=over))
    return weighted_sum(weights, layer.output, relu=relu)


@layer_method("hirescam", needs=_READS, cite="draelos2020hirescam", dims=(2, 3))
def hirescam(layer: LayerRecord, *, relu: bool = False) -> Tensor:
    r"""HiResCAM: the sum over channels of gradient times activation, place by place.

    .. math:: L(u) = \sum_k g_k(u)\, A_k(u)

    Where one linear layer follows, the values sum to the logit less its bias.

    Args:
        layer: Output A and gradient g, ``(N, C, h, w)``.
        relu: Whether to keep the positive part alone; the source keeps signs.

    Returns:
        ``(N, h, w)``, signed. Source: draelos2020hirescam, eq. 3.
    """
    total = (layer.grad * layer.output).sum(dim=1)
    return total.relu() if relu else total


@layer_method("layercam", needs=_READS, cite="jiang2021layercam", dims=(2, 3))
def layercam(layer: LayerRecord) -> Tensor:
    r"""LayerCAM: the sum over channels of positive gradient times activation, place by place.

    .. math:: L(u) = \mathrm{ReLU}\Big(\sum_k g_k(u)^+ A_k(u)\Big)

    Args:
        layer: Output A and gradient g, ``(N, C, h, w)``.

    Returns:
        ``(N, h, w)``, not negative. Source: jiang2021layercam, eqs. 5 to 7.
    """
    return (layer.output * layer.grad.relu()).sum(dim=1).relu()
