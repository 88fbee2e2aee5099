r"""The calibrated log-odds of poor quality as a differentiable function of a network's outputs.

`xiqa.models.outputs.read_outputs` says the same in NumPy, for whoever only reads. Searches that follow a
gradient, and graphs that leave PyTorch, take it from here, so that every threshold is compared with the scale
it was chosen on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from xiqa.models.outputs import poor_classes

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.models.card import BundleCard

__all__ = ["calibrated_log_odds"]


def calibrated_log_odds(logits: Tensor, card: BundleCard) -> Tensor:
    r"""Log-odds of the calibrated probability of poor quality, after temperature and beta map.

    .. math:: \log\frac{q}{1 - q} = a \log p - b \log(1 - p) + c, \qquad
        \log p = -\mathrm{softplus}(-m), \quad \log(1 - p) = -\mathrm{softplus}(m)

    with the margin :math:`m` of poor quality at the card's temperature: of the poor classes together against
    all others, or, where problems can come together, that of the likeliest.

    Args:
        logits: ``(N, K)``, of any of the tasks in `xiqa.models.outputs`.
        card: Says what they mean, the temperature and the beta map.

    Returns:
        ``(N,)``; its sigmoid is what `LoadedModel.probability` gives.
    """
    margin, (a, b, c) = _margin(logits, card), card.beta
    return b * F.softplus(margin) - a * F.softplus(-margin) + c


def _margin(logits: Tensor, card: BundleCard) -> Tensor:
    """Log-odds ``(N,)`` of poor quality before the beta map."""
    outputs, scaled = card.outputs, logits / card.temperature
    poor = list(poor_classes(card))
    if outputs.task == "labels":
        return scaled[:, poor].amax(dim=1)
    if outputs.task == "ordered":
        graded = scaled.reshape(len(scaled), -1, len(card.classes) - 1)
        return graded[:, :, card.poor_class - 1].amax(dim=1)
    if outputs.task == "degree":
        return (scaled - outputs.limit / card.temperature).amax(dim=1)
    if scaled.shape[1] == 1:  # the one output speaks for class 1
        return scaled[:, 0] if poor == [1] else -scaled[:, 0]
    others = [index for index in range(scaled.shape[1]) if index not in poor]
    return _union(scaled[:, poor]) - _union(scaled[:, others])


def _union(logits: Tensor) -> Tensor:
    """The logit ``(N,)`` of several classes as one."""
    return logits[:, 0] if logits.shape[1] == 1 else torch.logsumexp(logits, dim=1)
