r"""LRP rules of one weighted layer :math:`z_j = \sum_i x_i w_{ij} + b_j`.

Each takes the relevance :math:`R_j` of the layer's outputs, told as a `Message`, and gives that of its
inputs. Sums over :math:`j` below are products with the transposed layer. Sources: Bach et al. 2015
(`bach2015lrp`), Montavon et al. 2017 (`montavon2017deeptaylor`), Montavon et al. 2019 (`montavon2019lrp`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from xiqa.saliency.relevance.affine import Affine
from xiqa.saliency.relevance.step import Ledger, Message, divide

__all__ = ["AlphaBeta", "Box", "Epsilon", "Flat", "Gamma", "LayerRule", "WSquare", "ZPlus"]


class LayerRule(Protocol):
    """Relevance through one weighted layer."""

    def __call__(
        self, layer: Affine, x: Tensor, z: Tensor, message: Message, ledger: Ledger | None = None
    ) -> Message:
        """The message to the input ``x``, from the message to the output ``z``."""


@dataclass(frozen=True)
class Epsilon:
    r"""LRP-0 and LRP-:math:`\epsilon`.

    .. math:: R_i = \sum_j \frac{x_i w_{ij}}{z_j + \epsilon \, \mathrm{sgn}\, z_j} R_j

    With :math:`\epsilon = 0` multipliers pass as gradients do, and nothing is divided.

    Attributes:
        epsilon: The stabiliser, in the output's units; what it absorbs is booked.
        signed: Push :math:`z` away from 0 (sgn 0 = 1); False adds :math:`\epsilon` whatever the sign, as
            the review of Ayyar et al. prints it.
        bias: Whether the bias takes its share; without, it is left out of the denominator.
    """

    epsilon: float = 0.0
    signed: bool = True
    bias: bool = True

    def __call__(
        self, layer: Affine, x: Tensor, z: Tensor, message: Message, ledger: Ledger | None = None
    ) -> Message:
        """See `LayerRule`."""
        offset = layer.offset()
        kept = z if self.bias or offset is None else z - offset
        h = self._coefficient(z, kept, message)
        if ledger is not None:
            ledger.absorbed += float((message.total(z) - h * kept).sum())
            if self.bias and offset is not None:
                ledger.bias += float((h * offset).sum())
        return Message(layer.back(h, x))

    def _coefficient(self, z: Tensor, kept: Tensor, message: Message) -> Tensor:
        proportional = kept is z and message.relevance is None
        if self.epsilon == 0:
            if proportional and message.multiplier is not None:
                return message.multiplier
            return divide(message.total(z), kept)
        if proportional and self.signed:
            # z / (z + eps sgn z) = 1 - eps / (|z| + eps)
            given = message.multiplier
            assert given is not None
            return torch.addcdiv(given, given, z.abs().add_(self.epsilon), value=-self.epsilon)
        below = kept < 0 if self.signed else torch.zeros_like(kept, dtype=torch.bool)
        return divide(message.total(z), torch.where(below, kept - self.epsilon, kept + self.epsilon))


@dataclass(frozen=True)
class AlphaBeta:
    r"""LRP-:math:`\alpha\beta`.

    .. math::
       R_i = \sum_j \left(\alpha \frac{(x_i w_{ij})^+}{z_j^+} - \beta \frac{(x_i w_{ij})^-}{z_j^-}\right) R_j

    :math:`z_j^\pm` sum the positive (negative) contributions, the bias included if it counts.

    Attributes:
        alpha: Weight of what speaks for the output; :math:`\alpha - \beta = 1` keeps the sum.
        beta: Weight of what speaks against it.
        bias: Whether the bias takes its share.
    """

    alpha: float = 2.0
    beta: float = 1.0
    bias: bool = True

    def __call__(
        self, layer: Affine, x: Tensor, z: Tensor, message: Message, ledger: Ledger | None = None
    ) -> Message:
        """See `LayerRule`."""
        total = message.total(z)
        offset = layer.offset() if self.bias else None
        positive, negative = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
        up, down = x.clamp(min=0), x.clamp(max=0)
        mixed = bool((x < 0).any())
        # for and against: (weights for positive inputs, weights for negative inputs, share of R)
        parts = [(positive, negative, self.alpha, 0.0, None), (negative, positive, -self.beta, None, 0.0)]
        above: Tensor | None = None
        below: Tensor | None = None
        taken = 0.0
        for with_up, with_down, share, low, high in parts:
            if share == 0:
                continue
            z_part = layer.apply(up, with_up)
            if mixed:
                z_part = z_part + layer.apply(down, with_down)
            clamped = None if offset is None else offset.clamp(low, high)
            c = divide(total * share, z_part if clamped is None else z_part + clamped)
            if ledger is not None and clamped is not None:
                taken += float((c * clamped).sum())
            relevance = layer.transpose(c, with_up, x)
            above = relevance if above is None else above + relevance
            if mixed:
                relevance = layer.transpose(c, with_down, x)
                below = relevance if below is None else below + relevance
        assert above is not None
        result = Message(above if below is None else torch.where(x < 0, below, above))
        _book(ledger, total, taken, result, x)
        return result


def ZPlus(*, bias: bool = False) -> AlphaBeta:
    r"""The :math:`z^+` rule, :math:`R_i = \sum_j \frac{(x_i w_{ij})^+}{z_j^+} R_j`: alpha 1, beta 0."""
    return AlphaBeta(alpha=1.0, beta=0.0, bias=bias)


@dataclass(frozen=True)
class Gamma:
    r"""LRP-:math:`\gamma`.

    .. math::
       R_i = \sum_j \frac{x_i (w_{ij} + \gamma w_{ij}^+)}
                         {\sum_i x_i (w_{ij} + \gamma w_{ij}^+) + b_j + \gamma b_j^+} R_j

    The formula is for positive inputs and outputs. In general the contributions of the output's sign are
    favoured: :math:`x w + \gamma (x w)^+` where :math:`z_j > 0` and :math:`x w + \gamma (x w)^-` elsewhere,
    so that no denominator is nearer to 0 than :math:`z_j`.

    Attributes:
        gamma: How much; 0 is LRP-0, infinity the :math:`z^+` rule.
    """

    gamma: float = 0.25

    def __call__(
        self, layer: Affine, x: Tensor, z: Tensor, message: Message, ledger: Ledger | None = None
    ) -> Message:
        """See `LayerRule`."""
        total = message.total(z)
        offset = layer.offset()
        more = layer.weight + self.gamma * layer.weight.clamp(min=0)
        less = layer.weight + self.gamma * layer.weight.clamp(max=0)
        up, down = x.clamp(min=0), x.clamp(max=0)
        mixed = bool((x < 0).any())
        above: Tensor = torch.zeros_like(x)
        below: Tensor = torch.zeros_like(x)
        taken = 0.0
        for side, with_up, with_down in ((z > 0, more, less), (z <= 0, less, more)):
            relevance = total * side
            if not relevance.any():
                continue
            z_part = layer.apply(up, with_up)
            if mixed:
                z_part = z_part + layer.apply(down, with_down)
            if offset is not None:
                favoured = offset.clamp(min=0) if with_up is more else offset.clamp(max=0)
                favoured = offset + self.gamma * favoured
                z_part = z_part + favoured
            c = divide(relevance, z_part)
            if ledger is not None and offset is not None:
                taken += float((c * favoured).sum())
            above = above + layer.transpose(c, with_up, x)
            if mixed:
                below = below + layer.transpose(c, with_down, x)
        result = Message(torch.where(x < 0, below, above) if mixed else above)
        _book(ledger, total, taken, result, x)
        return result


@dataclass(frozen=True)
class WSquare:
    r"""The :math:`w^2` rule, for inputs of any value.

    .. math:: R_i = \sum_j \frac{w_{ij}^2}{\sum_i w_{ij}^2} R_j
    """

    def __call__(
        self, layer: Affine, x: Tensor, z: Tensor, message: Message, ledger: Ledger | None = None
    ) -> Message:
        """See `LayerRule`."""
        weight = layer.weight.square()
        total = message.total(z)
        c = divide(total, layer.apply(torch.ones_like(x), weight))
        result = Message(relevance=layer.transpose(c, weight, x))
        _book(ledger, total, 0.0, result, x)
        return result


@dataclass(frozen=True)
class Flat:
    r"""The flat rule: each output spreads evenly over its receptive field.

    .. math:: R_i = \sum_j \frac{1}{\sum_i 1} R_j
    """

    def __call__(
        self, layer: Affine, x: Tensor, z: Tensor, message: Message, ledger: Ledger | None = None
    ) -> Message:
        """See `LayerRule`."""
        weight = torch.ones_like(layer.weight)
        total = message.total(z)
        c = divide(total, layer.apply(torch.ones_like(x), weight))
        result = Message(relevance=layer.transpose(c, weight, x))
        _book(ledger, total, 0.0, result, x)
        return result


@dataclass(frozen=True)
class Box:
    r"""The :math:`z^B` rule, for pixels between bounds.

    .. math::
       R_i = \sum_j \frac{x_i w_{ij} - l_i w_{ij}^+ - h_i w_{ij}^-}
                         {\sum_i (x_i w_{ij} - l_i w_{ij}^+ - h_i w_{ij}^-)} R_j

    Attributes:
        low: The least value a pixel can have, in the network's input units; None: the image's own, a channel.
        high: The largest.
    """

    low: float | None = None
    high: float | None = None

    def __call__(
        self, layer: Affine, x: Tensor, z: Tensor, message: Message, ledger: Ledger | None = None
    ) -> Message:
        """See `LayerRule`."""
        total = message.total(z)
        low, high = self._bounds(x)
        positive, negative = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
        contributions = layer.apply(x, layer.weight)
        z_box = contributions - layer.apply(low, positive) - layer.apply(high, negative)
        c = divide(total, z_box)
        relevance = (
            x * layer.transpose(c, layer.weight, x)
            - low * layer.transpose(c, positive, x)
            - high * layer.transpose(c, negative, x)
        )
        result = Message(relevance=relevance)
        _book(ledger, total, 0.0, result, x)
        return result

    def _bounds(self, x: Tensor) -> tuple[Tensor, Tensor]:
        places = tuple(range(2, x.dim())) or (1,)
        low = x.amin(places, keepdim=True) if self.low is None else x.new_tensor(self.low)
        high = x.amax(places, keepdim=True) if self.high is None else x.new_tensor(self.high)
        return low.expand_as(x).contiguous(), high.expand_as(x).contiguous()


def _book(ledger: Ledger | None, total: Tensor, taken: float, result: Message, x: Tensor) -> None:
    """Book what the bias took, and what a rule could not spread (it had nothing to divide by)."""
    if ledger is not None:
        ledger.bias += taken
        ledger.absorbed += float(total.sum() - result.total(x).sum()) - taken
