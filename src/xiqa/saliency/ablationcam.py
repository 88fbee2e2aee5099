r"""Ablation-CAM: each channel is weighted by how far the score falls without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xiqa.saliency.pooledhead import pooled_head

if TYPE_CHECKING:
    from xiqa.saliency.tail import Tail

__all__ = ["ablation_weights", "logits_without_channels"]


def logits_without_channels(tail: Tail, *, closed_form: bool = True) -> Tensor:
    """Logits ``(C, K)`` with one channel at a time set to 0; of tokens, the channel of all tokens.

    Args:
        tail: What is behind the layer, for one image.
        closed_form: Whether to use the head's closed form where it has one; the result is the same.
    """
    features = tail.features
    head = pooled_head(tail) if closed_form else None
    if head is not None:
        return head.without_channels(features)
    axis = 1 if features.dim() == 4 else -1
    parts = []
    for channels in torch.arange(features.shape[axis], device=features.device).split(tail.chunk):
        copies = features.movedim(axis, 1).repeat(len(channels), *[1] * (features.dim() - 1))
        copies[torch.arange(len(channels)), channels] = 0
        parts.append(tail(copies.movedim(1, axis)))
    return torch.cat(parts)


def ablation_weights(whole: Tensor, without: Tensor) -> Tensor:
    r"""The share of the score that each channel carries.

    .. math:: w_k = \frac{y_c - y_c^{(k)}}{|y_c|}

    The source divides by :math:`y_c`, which it takes to be positive; a negative logit would turn the map's
    sign round, so the absolute value is taken here. A score of 0 is not divided by.

    Args:
        whole: Score :math:`y_c` of the image, one number.
        without: ``(C,)`` scores :math:`y_c^{(k)}` without each channel.

    Returns:
        ``(C,)``. Source: desai2020ablationcam, eq. 4.

    >>> ablation_weights(torch.tensor(-2.0), torch.tensor([-3.0, -2.0])).tolist()
    [0.5, 0.0]
    """
    return (whole - without) / torch.where(whole == 0, torch.ones_like(whole), whole.abs())
