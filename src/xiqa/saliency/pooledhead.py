r"""Heads that only average the features and apply one linear layer, and what follows from that.

Behind many layers a network is :math:`z = W\,\overline{A} + b`, with :math:`\overline{A}` the mean of the
features over positions. Then what masked features would give needs no forward pass at all: it is a matrix
product. Whether a head is of this kind is not read off its structure, which hooks, functional calls and
attention can hide, but tried: the tail's answer to random features (of both signs) must be the formula's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xiqa.saliency.perturb import generator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xiqa.saliency.tail import Tail

__all__ = ["PooledHead", "pooled_head"]


@dataclass(frozen=True, slots=True, eq=False)
class PooledHead:
    r"""The head :math:`z = W\,\overline{A} + b`.

    Attributes:
        weight: ``(K, C)``.
        bias: ``(K,)``.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, means: Tensor) -> Tensor:
        """Logits ``(M, K)`` of features whose means over positions are ``(M, C)``."""
        return means @ self.weight.T + self.bias

    def without_channels(self, features: Tensor) -> Tensor:
        r"""Logits ``(C, K)`` of ``(1, C, h, w)`` with one channel at a time set to 0.

        .. math:: z^{(k)} = z - W_{\cdot k}\,\overline{A_k}
        """
        means = features.mean(dim=(2, 3))
        return self(means) - means.T * self.weight.T

    def under_masks(self, features: Tensor, masks: Tensor) -> Tensor:
        r"""Logits ``(M, K)`` of ``(1, C, h, w)`` under each of the masks ``(M, h, w)``.

        .. math:: z^{(m)} = \frac{1}{hw} W \sum_u m(u)\,A(u) + b
        """
        return self(masks.flatten(1) @ features[0].flatten(1).T / masks[0].numel())


def pooled_head(tail: Tail) -> PooledHead | None:
    """The closed form of what is behind a layer, or None where it has none.

    Args:
        tail: What is behind the layer.
    """
    features = tail.features
    if features.dim() != 4:
        return None
    spread = features.std() if features.numel() > 1 else features.abs().sum()
    random = torch.randn(2, *features.shape[1:], generator=generator(0)).to(features)
    trial = torch.cat([random * torch.where(spread > 0, spread, torch.ones_like(spread)), features])
    answer = None
    for linear in _candidates(tail.network, int(features.shape[1]), int(tail.logits.shape[1])):
        bias = linear.bias if linear.bias is not None else linear.weight.new_zeros(linear.out_features)
        head = PooledHead(linear.weight.detach(), bias.detach())
        answer = tail(trial) if answer is None else answer
        # measured against what the features add, which a large bias must not hide
        if (head(trial.mean(dim=(2, 3))) - answer).abs().max() <= 1e-4 * (answer - head.bias).abs().max():
            return head
    return None


def _candidates(network: nn.Module, channels: int, classes: int) -> Iterator[nn.Linear]:
    for module in network.modules():
        if isinstance(module, nn.Linear) and (module.in_features, module.out_features) == (channels, classes):
            yield module
