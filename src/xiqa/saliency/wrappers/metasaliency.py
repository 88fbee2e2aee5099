r"""Meta-saliency: the map of a network that has just learnt this very image (order 1 instead of 0)."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn
from torch.jit import ScriptModule

from xiqa.errors import SaliencyError
from xiqa.saliency.probe import class_score
from xiqa.saliency.registry import wrapper

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.saliency.session import Inner

__all__ = ["metasaliency"]


@wrapper("metasaliency", cite="rebuffi2020there", of="normgrad_conv1x1")
def metasaliency(inner: Inner, images: Tensor, *, rate: float = 1e-4, adverse: bool = False) -> Tensor:
    r"""Meta-saliency: any method after one gradient step on the image, to tell classes apart better.

    .. math:: \theta' = \theta - \eta\, \nabla_\theta \big(-\log p_c(x; \theta)\big), \qquad L = M(x; \theta')

    Each image has its own step, on a copy of the network; the network itself is not touched.

    Args:
        inner: The method M.
        images: ``(N, C, H, W)``.
        rate: Length of the step, :math:`\eta` (the source's code: 1e-4).
        adverse: Step up the loss instead: what the class would be unlearnt from.

    Returns:
        ``(N, h, w)``, like M's. Source: rebuffi2020there, section 5.
    """
    network = inner.network
    if not isinstance(network, nn.Module) or any(
        isinstance(module, ScriptModule) for module in network.modules()
    ):
        raise SaliencyError(
            "meta-saliency changes weights",
            expected="a torch network that is not compiled",
            got=type(network).__name__,
        )
    maps = []
    for place in range(len(images)):
        part = slice(place, place + 1)
        alone = replace(inner, target=inner.target[part])
        learnt = _step(network, images[part], alone, -rate if adverse else rate)
        maps.append(alone(images[part], learnt))
    return torch.cat(maps)


def _step(network: nn.Module, image: Tensor, inner: Inner, rate: float) -> nn.Module:
    """A copy of the network, one step further in learning one image."""
    learnt = copy.deepcopy(network)
    weights = list(learnt.requires_grad_().parameters())
    with torch.enable_grad():
        loss = _loss(learnt(image), inner)
        slopes = torch.autograd.grad(loss, weights, allow_unused=True)
    for weight, slope in zip(weights, slopes, strict=True):
        if slope is not None:
            weight.detach().sub_(slope, alpha=rate)
    return learnt


def _loss(logits: Tensor, inner: Inner) -> Tensor:
    """The negative logarithm of the class's probability."""
    if logits.shape[1] > 1 and not inner.multilabel:
        return F.cross_entropy(logits, inner.target)
    return -F.logsigmoid(class_score(logits, inner.target, output="logit")).sum()
