"""Layer-wise relevance propagation and deep Taylor decomposition of whole networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xiqa.saliency.relevance.affine import Convolution, Diagonal
from xiqa.saliency.relevance.lrprules import AlphaBeta, Box, Epsilon, Flat, Gamma, LayerRule, WSquare, ZPlus
from xiqa.saliency.relevance.operations import BILINEAR, GATES, LINEAR, POOLS
from xiqa.saliency.relevance.rules import Rules, unsupported
from xiqa.saliency.relevance.slopes import normalised, secant, softmaxed
from xiqa.saliency.relevance.step import Message, Step, divide
from xiqa.saliency.relevance.tape import Ref, Tape

__all__ = ["COMPOSITES", "Lrp", "composite", "deep_taylor"]


@dataclass(frozen=True)
class Lrp(Rules):
    r"""Layer-wise relevance propagation with a rule for each depth.

    Relevance is carried as multipliers (:math:`R = m x`, see `Message`). Every operation is linearised
    between zero and its operands, and what it gives at zero is the bias's share:

    - weighted layers by their rule; batch norm that is not merged into one: LRP-0;
    - sums (residual connections, averages, interpolation): LRP-0, each term keeps its share; with
      ``positive_sums`` a sum of two gives everything to its positive terms, as the :math:`z^+` rule would;
    - activations: :math:`m = (f(x) - f(0)) / x`, that is relevance passes;
    - products with a gate (squeeze and excitation, attention): the signal takes all, the gate is a weight.
      Without a gate, each factor takes half;
    - layer norm: the standard deviation is a constant; quotients: the denominator is one;
    - maxima: the winner takes all;
    - smooth maxima :math:`y = \log \sum_j e^{x_j}`: each value takes the multiplier times its softmax weight
      :math:`p_j = e^{x_j - y}`, so that it has the share of a winner to the degree that it is one. Since
      :math:`y = \sum_j p_j x_j - \sum_j p_j \log p_j`, the entropy's share is a constant's: that of a bias.
      The sharper the maximum, the closer this is to the rule for maxima.

    Attributes:
        dense: Rule of linear layers.
        convolution: Rule of convolutions.
        first: Rule of the layers that no other one precedes; None: like the others of its kind.
        positive_sums: See above.
    """

    dense: LayerRule
    convolution: LayerRule
    first: LayerRule | None = None
    positive_sums: bool = False

    def affine(self, step: Step, message: Message) -> Message:
        """See `Rules.affine`."""
        layer = step.node.affine
        assert layer is not None
        if isinstance(layer, Diagonal):
            rule: LayerRule = Epsilon()
        elif self.first is not None and _is_first(step.tape, step.node.inputs[0]):
            rule = self.first
        else:
            rule = self.convolution if isinstance(layer, Convolution) else self.dense
        return rule(layer, step.inputs[0], step.output, message, step.ledger)

    def activation(self, step: Step, message: Message) -> Message:
        """See `Rules.activation`."""
        assert message.multiplier is not None
        if step.name == "relu":
            return Message(torch.ops.aten.threshold_backward(message.multiplier, step.output, 0))
        self._book_constant(step, message.multiplier)
        return Message(message.multiplier * secant(step))

    def linear(self, step: Step, messages: list[Message | None]) -> list[Message | None]:
        """See `Rules.linear`."""
        if self.positive_sums and step.name == "add" and len(step.node.inputs) == 2:
            assert messages[0] is not None
            return _to_positive_terms(step, messages[0])
        if step.ledger is not None:
            results = step.call(*step.roots)
            for message, result in zip(
                messages, results if isinstance(results, (tuple, list)) else [results], strict=False
            ):
                if message is not None and message.multiplier is not None:
                    step.ledger.bias += float((message.multiplier * result).sum())
        return super().linear(step, messages)

    def product(self, step: Step, multiplier: Tensor) -> list[Tensor | None]:
        """See `Rules.product`."""
        self._book_constant(step, multiplier)
        result = step.vjp([multiplier])
        gate = _gate(step)
        if gate is None:
            return [None if m is None else m / 2 for m in result]
        result[gate] = None
        return result

    def quotient(self, step: Step, multiplier: Tensor) -> list[Tensor | None]:
        """See `Rules.quotient`."""
        if len(step.node.inputs) == 1:
            raise unsupported(step, "whose denominator alone depends on the images: it has no root at zero")
        return [step.vjp([multiplier])[0], None]

    def pool(self, step: Step, multiplier: Tensor) -> list[Tensor | None]:
        """See `Rules.pool`."""
        result = step.vjp([multiplier])
        if step.ledger is not None and len(result) == 1 and result[0] is not None:
            step.ledger.bias += float((multiplier * step.output).sum() - (result[0] * step.inputs[0]).sum())
        return result

    def smooth_maximum(self, step: Step, multiplier: Tensor) -> Tensor:
        """See `Rules.smooth_maximum`."""
        result = step.vjp([multiplier])[0]
        assert result is not None
        if step.ledger is not None:
            step.ledger.bias += float((multiplier * step.output).sum() - (result * step.inputs[0]).sum())
        return result

    def norm(self, step: Step, multiplier: Tensor) -> Tensor:
        """See `Rules.norm`."""
        if step.ledger is not None:
            results = step.call(*step.roots)
            step.ledger.bias += float(
                (multiplier * (results if isinstance(results, Tensor) else results[0])).sum()
            )
        return normalised(step, multiplier, frozen=True)

    def softmax(self, step: Step, multiplier: Tensor) -> Tensor:
        """See `Rules.softmax`."""
        self._book_constant(step, multiplier)
        return softmaxed(step, multiplier)

    def finish(self, value: Tensor, root: Tensor | None, message: Message) -> Tensor:
        """The relevance of a value; see `Rules.finish`."""
        return message.total(value)

    def _book_constant(self, step: Step, multiplier: Tensor) -> None:
        """Book what an operation gives at zero."""
        if step.ledger is not None:
            step.ledger.bias += float((multiplier * step.output_root).sum())


def _is_first(tape: Tape, ref: Ref) -> bool:
    """Whether no weighted layer lies between the images and a value."""
    open_refs, seen = [ref], set()
    while open_refs:
        node = tape.nodes[open_refs.pop().node]
        if node.affine is not None:
            return False
        if node.index not in seen:
            seen.add(node.index)
            open_refs.extend(node.inputs)
    return True


def _to_positive_terms(step: Step, message: Message) -> list[Message | None]:
    """A sum of two gives its relevance to its positive terms, in proportion; LRP-0 where there are none."""
    total, plain = message.total(step.output), message.multiplier
    assert plain is not None
    zeros = step.roots
    terms = [step.call(*(x if i == k else zeros[i] for i, x in enumerate(step.inputs))) for k in (0, 1)]
    height = terms[0].clamp(min=0) + terms[1].clamp(min=0)
    share = divide(total, height)
    result = [
        step.vjp([torch.where(height > 0, share * (term > 0), plain)])[k] for k, term in enumerate(terms)
    ]
    return [None if m is None else Message(m) for m in result]


def _gate(step: Step) -> int | None:
    """Which of two factors only weighs the other; None when both are signals.

    A gate comes out of a squashing function or a softmax through linear operations, or it is one value for
    many places (a statistic, broadcast over the map that it scales).
    """
    gates = [_is_gate(step.tape, ref) for ref in step.node.inputs]
    if gates.count(True) == 1:
        return gates.index(True)
    sizes = [value.numel() for value in step.inputs]
    if step.name == "mul" and sizes[0] != sizes[1]:
        return sizes.index(min(sizes))
    return None


def _is_gate(tape: Tape, ref: Ref) -> bool:
    node = tape.nodes[ref.node]
    if node.name in GATES:
        return True
    passes = node.name in LINEAR | BILINEAR | POOLS | {"div"} and len(node.inputs) == 1
    return passes and _is_gate(tape, node.inputs[0])


def deep_taylor(low: float | None = None, high: float | None = None, *, bounded: bool = True) -> Lrp:
    r"""Deep Taylor decomposition: the root point of each layer decides its rule.

    Hidden layers see positive inputs and look for their root where :math:`x_i (1 - 1_{w_{ij} > 0})` points:
    the :math:`z^+` rule. The first layer's root lies in the box of the pixels' bounds (:math:`z^B`), or
    anywhere (:math:`w^2`).

    Args:
        low: The least value of a pixel; None: the image's own, a channel.
        high: The largest.
        bounded: False for pixels of any value.
    """
    return Lrp(ZPlus(), ZPlus(), first=Box(low, high) if bounded else WSquare(), positive_sums=True)


COMPOSITES = {
    "epsilon": lambda epsilon, gamma: Lrp(Epsilon(epsilon), Epsilon(epsilon)),
    "epsilon_plus": lambda epsilon, gamma: Lrp(Epsilon(epsilon), ZPlus()),
    "epsilon_plus_flat": lambda epsilon, gamma: Lrp(Epsilon(epsilon), ZPlus(), Flat()),
    "epsilon_gamma_box": lambda epsilon, gamma: Lrp(Epsilon(epsilon), Gamma(gamma), Box()),
    "epsilon_alpha2_beta1": lambda epsilon, gamma: Lrp(Epsilon(epsilon), AlphaBeta()),
    "epsilon_alpha2_beta1_flat": lambda epsilon, gamma: Lrp(Epsilon(epsilon), AlphaBeta(), Flat()),
}


def composite(name: str, epsilon: float = 1e-6, gamma: float = 0.25) -> Lrp:
    """A set of rules by depth, by its name in `COMPOSITES` (montavon2019lrp, kohlbrenner2020lrp).

    Args:
        name: Which.
        epsilon: Stabiliser of the linear layers.
        gamma: Of the convolutions, where the composite has one.

    >>> composite("epsilon_plus").convolution
    AlphaBeta(alpha=1.0, beta=0.0, bias=False)
    """
    return COMPOSITES[name](epsilon, gamma)
