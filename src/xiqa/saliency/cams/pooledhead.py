r"""Heads that only average the features and apply one linear layer, and what follows from that.

Behind many layers a network is :math:`z = W\,\overline{A} + b`, with :math:`\overline{A}` the mean of the
features over positions. Then what masked features would give needs no forward pass at all: it is a matrix
product. Whether a head is of this kind is not read off its structure, which hooks, functional calls and
attention can hide, but tried: the tail's answer to random features (of both signs) must be the formula's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from xiqa.errors import SaliencyError
from xiqa.saliency.arrays import places
from xiqa.saliency.capture import precise
from xiqa.saliency.perturbation.copies import generator
from xiqa.saliency.tail import Tail
from xiqa.saliency.tokens import layout_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xiqa.models.layers.places import Layout
    from xiqa.saliency.capture import LayerRecord

__all__ = ["PooledHead", "behind", "behind_layout", "pooled_head"]


@dataclass(frozen=True, slots=True, eq=False)
class PooledHead:
    r"""The head :math:`z = W\,\overline{A} + b`.

    Attributes:
        weight: ``(K, C)``.
        bias: ``(K,)``.
        tolerance: Relative rounding of the network's own logits.
    """

    weight: Tensor
    bias: Tensor
    tolerance: float = 1e-4

    def __call__(self, means: Tensor) -> Tensor:
        """Logits ``(M, K)`` of features whose means over positions are ``(M, C)``."""
        return means @ self.weight.T + self.bias

    def without_channels(self, features: Tensor) -> Tensor:
        r"""Logits ``(C, K)`` of ``(1, C, h, w)`` with one channel at a time set to 0.

        .. math:: z^{(k)} = z - W_{\cdot k}\,\overline{A_k}
        """
        means = features.mean(dim=places(features))
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
    if features.dim() not in (4, 5):
        return None
    spread = features.std() if features.numel() > 1 else features.abs().sum()
    random = torch.randn(2, *features.shape[1:], generator=generator(0)).to(features)
    trial = torch.cat([random * torch.where(spread > 0, spread, torch.ones_like(spread)), features])
    heads = list(_candidates(tail.network, int(features.shape[1]), int(tail.logits.shape[1])))
    answer = tail(trial) if heads else tail.logits
    return next((head for head in heads if _agree(head, trial, answer)), None)


def behind(layer: LayerRecord, *, closed_form: bool = True) -> PooledHead | Tail:
    """What lies behind a captured layer of one image: its closed form where it has one, else the tail.

    What is behind a layer seldom changes, so a layer that was once found to have a closed form is not tried
    with random features again, as long as the formula, with the weights of now, gives the captured logits.

    Args:
        layer: The layer in a pass of one image.
        closed_form: Whether a closed form may be used; the logits are the same.
    """
    context = layer.pass_
    if closed_form and layer.name in _pooled.get(context.network, ()):
        heads = _candidates(context.network, int(layer.output.shape[1]), int(context.logits.shape[1]))
        head = next((head for head in heads if _agree(head, layer.output, context.logits)), None)
        if head is not None:
            return head
    tail = Tail(context.network, layer.name, context.images)
    head = pooled_head(tail) if closed_form else None
    if head is None:
        return tail
    _pooled.setdefault(context.network, set()).add(layer.name)
    return head


def behind_layout(layer: LayerRecord, features: Tensor) -> Layout:
    """Where the places and channels of a layer's output are, as its tail takes it.

    Args:
        layer: The layer in a pass of one image.
        features: Its output as the network passes it on.

    Raises:
        SaliencyError: The layer cuts the image into windows, so that its output is no batch.
    """
    context = layer.pass_
    layout = layout_of(features, context.images, layer.name, context.network)
    if layout.shape[0] > 1:
        raise SaliencyError(
            f"layer {layer.name!r} cannot be masked",
            expected="one output an image",
            got=f"{layout.shape[0]} windows an image",
            todo="choose a layer outside the windows",
        )
    return layout


#: Layers that were found to have a closed form behind them.
_pooled: WeakKeyDictionary[nn.Module, set[str]] = WeakKeyDictionary()


def _agree(head: PooledHead, features: Tensor, logits: Tensor) -> bool:
    """Whether the formula holds, measured against what the features add: a large bias must hide nothing."""
    error = (head(precise(features).mean(dim=places(features))) - logits).abs().max()
    return bool(error <= head.tolerance * (logits - head.bias).abs().max())


def _candidates(network: nn.Module, channels: int, classes: int) -> Iterator[PooledHead]:
    for module in network.modules():
        if isinstance(module, nn.Linear) and (module.in_features, module.out_features) == (channels, classes):
            weight = precise(module.weight.detach())
            bias = weight.new_zeros(classes) if module.bias is None else precise(module.bias.detach())
            yield PooledHead(weight, bias, max(1e-4, 8 * torch.finfo(module.weight.dtype).eps))
