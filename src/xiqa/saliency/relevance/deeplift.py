"""DeepLIFT: differences from a reference, with the linear, rescale and RevealCancel rules."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xiqa.saliency.relevance.affine import Diagonal
from xiqa.saliency.relevance.operations import REARRANGING
from xiqa.saliency.relevance.rules import Rules
from xiqa.saliency.relevance.slopes import normalised, pooled, secant, softmaxed
from xiqa.saliency.relevance.step import Message, Step, divide
from xiqa.saliency.relevance.tape import Ref

__all__ = ["DeepLift"]

_MINIMA = ("min", "amin", "minimum")


@dataclass(frozen=True)
class DeepLift(Rules):
    r"""DeepLIFT (Shrikumar et al. 2017): multipliers with :math:`\sum_i m_i \Delta x_i = \Delta y`.

    - Weighted layers and sums: the linear rule, :math:`m_i = w_i`.
    - Activations: rescale, :math:`m = \Delta y / \Delta x`, or RevealCancel.
    - Products: :math:`\Delta(ab) = \bar b \Delta a + \bar a \Delta b`, bars are means of the image's and the
      reference's value; quotients, layer norm, softmax and smooth maxima are put together from this and
      secants.
    - Maxima: the higher of both maxima decides which position gets :math:`\Delta y`, so that no multiplier
      exceeds that of its window.

    The source has neither products nor norms; its completeness holds here for all of them.

    Attributes:
        reveal_cancel: Which activations use RevealCancel: ``"none"``, ``"dense"`` (those that follow no
            convolution, as the source recommends) or ``"all"``.
    """

    reveal_cancel: str = "none"

    def affine(self, step: Step, message: Message) -> Message:
        r"""The linear rule; behind it, multipliers can differ for positive and negative contributions.

        .. math::
           m_{\Delta x_i} = \sum_j w_{ij} \left(1_{w_{ij} \Delta x_i > 0}\, m_j^+
                                           + 1_{w_{ij} \Delta x_i < 0}\, m_j^-\right)

        and the mean of :math:`m^+` and :math:`m^-` where :math:`\Delta x_i = 0`.
        """
        layer, x = step.node.affine, step.inputs[0]
        assert layer is not None
        assert message.multiplier is not None
        multiplier = layer.back(message.multiplier, x)
        if message.skew is not None:
            multiplier = multiplier + (x - step.roots[0]).sign() * layer.transpose(
                message.skew, layer.weight.abs(), x
            )
        return Message(multiplier)

    def activation(self, step: Step, message: Message) -> Message:
        """Rescale, or RevealCancel; see `Rules.activation`."""
        multiplier = self.collapse(step, message)
        if self.reveal_cancel == "none" or (self.reveal_cancel == "dense" and step.output.dim() > 2):
            return Message(multiplier * secant(step))
        for_positive, for_negative = _reveal_cancel(step)
        return Message(
            multiplier * (for_positive + for_negative) / 2,
            skew=multiplier * (for_positive - for_negative) / 2,
        )

    def linear(self, step: Step, messages: list[Message | None]) -> list[Message | None]:
        """See `Rules.linear`; a sum's terms are contributions, positive or negative."""
        if all(m is None or m.skew is None for m in messages):
            return super().linear(step, messages)
        if step.name in REARRANGING or _scales(step):
            signs = torch.sign(_change(step, *map(torch.ones_like, step.inputs))) if _scales(step) else 1
            skews = step.vjp([None if m is None or m.skew is None else m.skew * signs for m in messages])
            multipliers = super().linear(step, messages)
            return [
                None if m is None else Message(m.multiplier, skew=s)
                for m, s in zip(multipliers, skews, strict=True)
            ]
        (message,) = messages
        assert message is not None
        if step.name not in ("add", "sub"):
            return super().linear(step, [Message(self.collapse(step, message))])
        terms = _terms(step)
        grads = [step.vjp([message.signed(term)])[k] for k, term in enumerate(terms)]
        return [None if g is None else Message(g) for g in grads]

    def product(self, step: Step, multiplier: Tensor) -> list[Tensor | None]:
        """See `Rules.product`."""
        (a, b), (a0, b0) = step.inputs, step.roots
        return [step.vjp([multiplier], a, (b + b0) / 2)[0], step.vjp([multiplier], (a + a0) / 2, b)[1]]

    def quotient(self, step: Step, multiplier: Tensor) -> list[Tensor | None]:
        """See `Rules.quotient`."""
        b, b0 = step.inputs[-1], step.roots[-1]
        if len(step.inputs) == 1:
            numerator = torch.as_tensor(step.node.args[0]).to(b)
            return [(-multiplier * numerator / (b * b0)).sum_to_size(b.shape)]
        a, a0 = step.inputs[0], step.roots[0]
        by_a = (multiplier * (1 / b + 1 / b0) / 2).sum_to_size(a.shape)
        return [by_a, (-multiplier * (a + a0) / (2 * b * b0)).sum_to_size(b.shape)]

    def pool(self, step: Step, multiplier: Tensor) -> list[Tensor | None]:
        """See `Rules.pool`."""
        y, y0 = step.output, step.output_root
        here = y <= y0 if step.name in _MINIMA else y >= y0
        contribution = multiplier * (y - y0)
        at_image = step.vjp([contribution * here])
        at_root = step.vjp([contribution * ~here], *step.roots)
        multipliers: list[Tensor | None] = []
        for a, b, x, x0 in zip(at_image, at_root, step.inputs, step.roots, strict=True):
            assert a is not None
            assert b is not None
            multipliers.append(divide(a + b, x - x0))
        return multipliers

    def smooth_maximum(self, step: Step, multiplier: Tensor) -> Tensor:
        """See `Rules.smooth_maximum`."""
        return pooled(step, multiplier)

    def norm(self, step: Step, multiplier: Tensor) -> Tensor:
        """See `Rules.norm`."""
        return normalised(step, multiplier, frozen=False)

    def softmax(self, step: Step, multiplier: Tensor) -> Tensor:
        """See `Rules.softmax`."""
        return softmaxed(step, multiplier)

    def collapse(self, step: Step, message: Message) -> Tensor:
        """See `Rules.collapse`."""
        plain = (
            message.signed(step.output - step.output_root) if message.skew is not None else message.multiplier
        )
        assert plain is not None
        return plain

    def finish(self, value: Tensor, root: Tensor | None, message: Message) -> Tensor:
        """The contributions of a value's difference from the reference; see `Rules.finish`."""
        assert root is not None
        delta = value - root
        multiplier = message.signed(delta)
        return torch.zeros_like(delta) if multiplier is None else multiplier * delta


def _reveal_cancel(step: Step) -> tuple[Tensor, Tensor]:
    r"""Multipliers of an activation's positive and negative input.

    .. math::
       \Delta y^+ &= \tfrac12 [f(x^0 + \Delta x^+) - f(x^0)]
                   + \tfrac12 [f(x^0 + \Delta x^- + \Delta x^+) - f(x^0 + \Delta x^-)] \\
       \Delta y^- &= \tfrac12 [f(x^0 + \Delta x^-) - f(x^0)]
                   + \tfrac12 [f(x^0 + \Delta x^+ + \Delta x^-) - f(x^0 + \Delta x^+)]

    and :math:`m^\pm = \Delta y^\pm / \Delta x^\pm` (section 3.5.3); where nothing is positive (negative),
    rescale's multiplier.
    """
    positive, negative = _parts(step, step.node.inputs[0])
    x0 = step.roots[0]
    f0, both = step.output_root, step.output
    only_positive, only_negative = step.call(x0 + positive), step.call(x0 + negative)
    up = (only_positive - f0 + both - only_negative) / 2
    down = (only_negative - f0 + both - only_positive) / 2
    plain = secant(step)
    return (
        torch.where(positive == 0, plain, divide(up, positive)),
        torch.where(negative == 0, plain, divide(down, negative)),
    )


def _parts(step: Step, ref: Ref) -> tuple[Tensor, Tensor]:
    """The positive and the negative contributions to a value's difference from its reference."""
    assert step.reference is not None
    delta = step.tape.value(ref) - step.reference.value(ref)
    source = Step(step.tape.nodes[ref.node], step.tape, step.reference)
    layer = source.node.affine
    if layer is not None and not isinstance(layer, Diagonal):
        change = source.inputs[0] - source.roots[0]
        positive = layer.apply(change.clamp(min=0), layer.weight.clamp(min=0))
        positive = positive + layer.apply(change.clamp(max=0), layer.weight.clamp(max=0))
    elif _scales(source):
        both = _parts(source, source.node.inputs[0])
        positive = sum((_change(source, part).clamp(min=0) for part in both), torch.zeros_like(delta))
    elif source.name in ("add", "sub"):
        positive = sum((term.clamp(min=0) for term in _terms(source)), torch.zeros_like(delta))
    elif source.name in REARRANGING and len(source.node.outputs) == 1:
        positive = _change(source, *(_parts(source, place)[0] for place in source.node.inputs))
    else:
        positive = delta.clamp(min=0)
    return positive, delta - positive


def _scales(step: Step) -> bool:
    """Whether an operation multiplies its one operand by constants, number by number, and adds some."""
    unary = len(step.node.inputs) == 1 and step.name in ("add", "sub", "rsub", "neg", "mul", "div")
    return unary and step.inputs[0].shape == step.output.shape


def _change(step: Step, *changes: Tensor) -> Tensor:
    """What changes of the operands change in the result of a sum with constant coefficients."""
    result: Tensor = step.call(*changes) - step.call(*map(torch.zeros_like, changes))
    return result


def _terms(step: Step) -> list[Tensor]:
    """What each operand of a sum contributes to the difference from the reference."""
    changes = [x - x0 for x, x0 in zip(step.inputs, step.roots, strict=True)]
    zeros = [torch.zeros_like(change) for change in changes]
    return [
        _change(step, *(change if i == k else zeros[i] for i, change in enumerate(changes)))
        for k in range(len(changes))
    ]
