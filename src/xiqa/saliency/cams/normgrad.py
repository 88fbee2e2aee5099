r"""NormGrad: how much each place would change the weights of a layer that does nothing.

Put a *virtual identity layer* behind a layer's output x: it changes nothing, yet the gradient of its weights
is a sum over places u of one contribution each, made of the activation :math:`x_u` and the gradient
:math:`g_u = \partial z_c / \partial x_u`. The saliency of a place is the norm of its contribution (over all
pairs of channels i, j):

===============  ==========================================  ==========================================
virtual layer    contribution of u                           norm, in closed form
===============  ==========================================  ==========================================
bias             :math:`g_u`                                 :math:`\|g_u\|`
scaling          :math:`g_u \odot x_u`                       :math:`\|g_u \odot x_u\|`
conv 1x1         :math:`g_u x_u^\top`                        :math:`\|g_u\| \, \|x_u\|`
conv 3x3         :math:`g_u [x_v]_{v \in 3\times3(u)}^\top`  :math:`\|g_u\| \sqrt{\sum_v \|x_v\|^2}`
===============  ==========================================  ==========================================

Neither the outer product nor the patches are ever formed: entrywise norms of an outer product are products of
norms, and the patches' squared norms are a 3x3 box sum (0 outside the map, as for a padded convolution). In
volumes the virtual convolution is 3x3x3, and so is the box.

Options of all four. ``norm``: ``l2`` (the source's), ``l1`` or ``max`` (largest absolute entry).
``positive=True``: only contributions that raise the class's score count ("selective NormGrad"); an outer
product's positive part factorises too,
:math:`\|(g x^\top)^+\|^p = \|g^+\|^p \|x^+\|^p + \|g^-\|^p \|x^-\|^p`.

The gradient is that of the class's logit. Source: rebuffi2020there, section 3 and table 1; for image quality
ozer2021explainable and ozer2025consistent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency.registry import Needs, layer_method

if TYPE_CHECKING:
    from xiqa.saliency.capture import LayerRecord

__all__ = ["normgrad_bias", "normgrad_conv1x1", "normgrad_conv3x3", "normgrad_scaling"]

_ORDERS = {"l1": 1.0, "l2": 2.0, "max": torch.inf}
_READS = Needs.OUTPUT | Needs.GRAD


@layer_method("normgrad_bias", needs=Needs.GRAD, cite="rebuffi2020there", dims=(2, 3))
def normgrad_bias(layer: LayerRecord, *, norm: str = "l2", positive: bool = False) -> Tensor:
    r"""NormGrad with a virtual bias: the norm of the gradient at each place, :math:`\|g_u\|`.

    Args:
        layer: Gradient ``(N, C, h, w)``.
        norm: ``l2``, ``l1`` or ``max``.
        positive: Whether only gradients that raise the score count.

    Returns:
        ``(N, h, w)``, not negative. Constant at the last layer of a network with a pooled linear head.
        Source: rebuffi2020there.
    """
    return _size(layer.grad.relu() if positive else layer.grad, _order(norm))


@layer_method("normgrad_scaling", needs=_READS, cite="rebuffi2020there", dims=(2, 3))
def normgrad_scaling(layer: LayerRecord, *, norm: str = "l2", positive: bool = False) -> Tensor:
    r"""NormGrad with a virtual scaling: the norm of gradient times activation, :math:`\|g_u \odot x_u\|`.

    Args:
        layer: Output and gradient, ``(N, C, h, w)``.
        norm: ``l2``, ``l1`` or ``max``.
        positive: Whether only contributions that raise the score count.

    Returns:
        ``(N, h, w)``, not negative, at most the conv 1x1 map. Source: rebuffi2020there.
    """
    product = layer.grad * layer.output
    return _size(product.relu() if positive else product, _order(norm))


@layer_method("normgrad_conv1x1", needs=_READS, cite="rebuffi2020there", dims=(2, 3))
def normgrad_conv1x1(layer: LayerRecord, *, norm: str = "l2", positive: bool = False) -> Tensor:
    r"""NormGrad with a virtual 1x1 convolution: gradient's norm times activation's, :math:`\|g_u\| \|x_u\|`.

    Args:
        layer: Output and gradient, ``(N, C, h, w)``.
        norm: ``l2``, ``l1`` or ``max``.
        positive: Whether only contributions that raise the score count.

    Returns:
        ``(N, h, w)``, not negative, at most the conv 3x3 map. At the last layer of a network with a pooled
        linear head the class changes it by a factor only. Source: rebuffi2020there.
    """
    order = _order(norm)
    return _outer(layer, order, positive, lambda x: _size(x, order))


@layer_method("normgrad_conv3x3", needs=_READS, cite="rebuffi2020there", dims=(2, 3))
def normgrad_conv3x3(layer: LayerRecord, *, norm: str = "l2", positive: bool = False) -> Tensor:
    r"""NormGrad with a virtual 3x3 convolution: gradient's norm times the norm of the 3x3 patch.

    .. math:: M(u) = \|g_u\| \sqrt{\sum_{v \in 3\times3(u)} \|x_v\|^2}

    Args:
        layer: Output and gradient, ``(N, C, h, w)``; outside the map the output is 0, as for a padded
            convolution.
        norm: ``l2``, ``l1`` or ``max``.
        positive: Whether only contributions that raise the score count.

    Returns:
        ``(N, h, w)``, not negative. Source: rebuffi2020there.
    """
    order = _order(norm)
    return _outer(layer, order, positive, lambda x: _patch_size(x, order))


def _order(norm: str) -> float:
    if norm not in _ORDERS:
        raise SaliencyError("unknown norm", expected=", ".join(_ORDERS), got=repr(norm))
    return _ORDERS[norm]


def _size(values: Tensor, order: float) -> Tensor:
    """Norm over the channels of ``(N, C, h, w)``."""
    channels_last = values.is_contiguous(memory_format=torch.channels_last)
    if order == 2.0 and type(values) is Tensor and not channels_last:
        # ten times as fast where channels lie apart; a traced value keeps the one operation that export knows
        size = values.square().sum(dim=1).sqrt()
        lost = not 1e-15 < float(size.amax()) < 1e15 if size.dtype == torch.float32 else False
        return size if not lost else torch.linalg.vector_norm(values.double(), dim=1).to(values)
    norm: Tensor = torch.linalg.vector_norm(values, ord=order, dim=1)
    return norm


def _patch_size(values: Tensor, order: float) -> Tensor:
    """Norm over the channels and the 3x3 neighbourhood, 3x3x3 in volumes."""
    if order == torch.inf:
        size = _size(values, order)
        if size.dim() == 3:
            return F.max_pool2d(size, 3, stride=1, padding=1)
        return F.max_pool3d(F.pad(size, [1] * 6), 3, stride=1)  # no norm is below 0
    if order == 1.0:
        return _box_sum(_size(values, order))
    return _box_sum(_size(values, order).square()).sqrt()


def _box_sum(sizes: Tensor) -> Tensor:
    """Sum over the neighbourhood of three a side, 3x3 or 3x3x3, with 0 outside ``(N, [d,] h, w)``."""
    if sizes.dim() == 3:
        return F.avg_pool2d(sizes, 3, stride=1, padding=1, divisor_override=1)
    return F.avg_pool3d(F.pad(sizes, [1] * 6), 3, stride=1, divisor_override=1)


def _outer(layer: LayerRecord, order: float, positive: bool, size: Callable[[Tensor], Tensor]) -> Tensor:
    """Norm of the outer product of gradient and activations, or of its positive part."""
    if not positive:
        return _size(layer.grad, order) * size(layer.output)
    rising = _size(layer.grad.relu(), order) * size(layer.output.relu())
    falling = _size((-layer.grad).relu(), order) * size((-layer.output).relu())
    both: Tensor = torch.linalg.vector_norm(torch.stack([rising, falling]), ord=order, dim=0)
    return both
