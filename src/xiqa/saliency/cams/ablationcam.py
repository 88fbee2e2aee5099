r"""Ablation-CAM: each channel is weighted by how far the score falls without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xiqa.saliency.cams.pooledhead import PooledHead, behind, behind_layout
from xiqa.saliency.perturbation.copies import score_logits
from xiqa.saliency.registry import Needs, probe_method

if TYPE_CHECKING:
    from xiqa.saliency.session import ProbeRecord
    from xiqa.saliency.tail import Tail

__all__ = ["ablation_weights", "ablationcam", "logits_without_channels"]


def logits_without_channels(rest: Tail | PooledHead, features: Tensor, axis: int | None = None) -> Tensor:
    """Logits ``(C, K)`` with one channel at a time set to 0; of tokens, the channel of all tokens.

    Args:
        rest: What is behind the layer.
        features: The layer's output for one image, as the network passes it on.
        axis: That of the channels; by default the first behind the batch of maps, the last of tokens.
    """
    if isinstance(rest, PooledHead):
        return rest.without_channels(features)
    if axis is None:
        axis = 1 if features.dim() > 3 else -1
    parts = []
    for channels in torch.arange(features.shape[axis], device=features.device).split(rest.chunk):
        copies = features.movedim(axis, 1).repeat(len(channels), *[1] * (features.dim() - 1))
        copies[torch.arange(len(channels)), channels] = 0
        parts.append(rest(copies.movedim(1, axis)))
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


@probe_method("ablationcam", cite="desai2020ablationcam", needs=Needs.OUTPUT | Needs.NETWORK, dims=(2, 3))
def ablationcam(sample: ProbeRecord, *, output: str = "logit", closed_form: bool = True) -> Tensor:
    r"""Ablation-CAM: channels weighted by how far the score falls when each is set to 0.

    .. math:: L = \mathrm{ReLU}\Big(\sum_k \frac{y_c - y_c^{(k)}}{|y_c|} A_k\Big)

    The network runs up to the layer once, not once a channel; behind a layer that is pooled and passed to one
    linear layer nothing runs at all, since there :math:`z_c - z_c^{(k)} = W_{ck}\,\overline{A_k}`.

    Args:
        sample: The image, its layer and the network.
        output: The score y: ``logit`` or ``probability``.
        closed_form: Whether to use the head's closed form where it has one; the map is the same.

    Returns:
        ``(h, w)``, not negative, in units of the layer. Source: desai2020ablationcam, eq. 4 and 5.
    """
    assert sample.layer is not None
    rest = behind(sample.layer, closed_form=closed_form)
    closed = isinstance(rest, PooledHead)
    features = sample.layer.output if isinstance(rest, PooledHead) else rest.features
    axis = None if closed else behind_layout(sample.layer, features).channel
    whole = score_logits(sample, sample.layer.pass_.logits, output)[0]
    without = score_logits(sample, logits_without_channels(rest, features, axis), output)
    weights = ablation_weights(whole, without)
    return torch.einsum("k,k...->...", weights, sample.layer.output[0]).relu()
