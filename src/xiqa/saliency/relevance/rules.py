"""A set of rules: one way back through every kind of operation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

from torch import Tensor

from xiqa.errors import UnsupportedOperationError
from xiqa.saliency.relevance.operations import (
    ACTIVATIONS,
    BILINEAR,
    LINEAR,
    NORMS,
    PIECEWISE_LINEAR,
    POOLS,
    REARRANGING,
    SMOOTH,
    SMOOTH_MAXIMA,
    SOFTMAXES,
)
from xiqa.saliency.relevance.step import Message, Step, divide

__all__ = ["Rules", "unsupported"]

# Where relevance of a result is relevance of its one operand, whatever their values.
_ELEMENTWISE = PIECEWISE_LINEAR | SMOOTH | ACTIVATIONS | {"add", "sub", "rsub", "mul", "div", "neg"}


def unsupported(step: Step, why: str = "") -> UnsupportedOperationError:
    """The error for an operation without a rule; it names the operation, the module and its type."""
    return UnsupportedOperationError(
        f"no rule for the operation {step.name!r} in {step.node.module}{f', {why}' if why else ''}",
        todo="use a method that treats the network as a function (gradient, integratedgradients, occlusion)",
    )


class Rules(ABC):
    """One way back; each method spreads a multiplier of an operation's result over its operands."""

    def __call__(self, step: Step, messages: list[Message | None]) -> list[Message | None]:
        """Spread the messages to an operation's results over its operands.

        Args:
            step: The operation.
            messages: One a result, None where nothing came back.

        Returns:
            One a tracked operand.

        Raises:
            UnsupportedOperationError: The operation has no rule.
        """
        if step.name == "affine":
            assert messages[0] is not None
            return [self.affine(step, messages[0])]
        carried, messages = _carry_relevance(step, messages)
        if all(message is None for message in messages):
            return carried
        if step.name in LINEAR or (len(step.node.inputs) == 1 and _linear_in_one(step)):
            shares = self.linear(step, messages)
        else:
            if any(message is not None for message in messages[1:]):
                raise unsupported(step, "of which a second result is used")
            assert messages[0] is not None
            shares = self._nonlinear(step, messages[0])
        return [a if b is None else b if a is None else a + b for a, b in zip(carried, shares, strict=True)]

    def _nonlinear(self, step: Step, message: Message) -> list[Message | None]:
        name, operands = step.name, len(step.node.inputs)
        if name in PIECEWISE_LINEAR | SMOOTH | ACTIVATIONS and operands == 1:
            return [self.activation(step, message)]
        multiplier = self.collapse(step, message)
        result: list[Tensor | None]
        if name in BILINEAR and operands == 2:
            result = self.product(step, multiplier)
        elif name == "div":
            result = self.quotient(step, multiplier)
        elif name in POOLS:
            result = self.pool(step, multiplier)
        elif name in SMOOTH_MAXIMA:
            result = [self.smooth_maximum(step, multiplier)]
        elif name in NORMS and operands == 1:
            result = [self.norm(step, multiplier)]
        elif name in SOFTMAXES and operands == 1:
            result = [self.softmax(step, multiplier)]
        else:
            raise unsupported(step)
        return [None if m is None else Message(m) for m in result]

    @abstractmethod
    def affine(self, step: Step, message: Message) -> Message:
        """Weighted layers: convolution, linear layer, batch norm."""

    @abstractmethod
    def activation(self, step: Step, message: Message) -> Message:
        """Functions of one number each."""

    def linear(self, step: Step, messages: list[Message | None]) -> list[Message | None]:
        """Sums with constant coefficients: multipliers pass as gradients do."""
        if step.name == "add" and _plain_sum(step):
            return [messages[0], messages[0]]
        result = step.vjp([None if m is None else m.multiplier for m in messages])
        return [None if m is None else Message(m) for m in result]

    @abstractmethod
    def product(self, step: Step, multiplier: Tensor) -> list[Tensor | None]:
        """Products of two operands: elementwise, or matrix products."""

    @abstractmethod
    def quotient(self, step: Step, multiplier: Tensor) -> list[Tensor | None]:
        """Quotients whose denominator depends on the images."""

    @abstractmethod
    def pool(self, step: Step, multiplier: Tensor) -> list[Tensor | None]:
        """Maxima and minima."""

    @abstractmethod
    def smooth_maximum(self, step: Step, multiplier: Tensor) -> Tensor:
        """Logarithms of sums of exponentials."""

    @abstractmethod
    def norm(self, step: Step, multiplier: Tensor) -> Tensor:
        """Layer, group, instance and RMS norm."""

    @abstractmethod
    def softmax(self, step: Step, multiplier: Tensor) -> Tensor:
        """Softmax and its logarithm."""

    def collapse(self, step: Step, message: Message) -> Tensor:
        """The multiplier of a message to an operation whose result is one contribution."""
        assert message.multiplier is not None
        return message.multiplier

    @abstractmethod
    def finish(self, value: Tensor, root: Tensor | None, message: Message) -> Tensor:
        """The explanation, from the message to a value and the value's root."""


def _plain_sum(step: Step) -> bool:
    """Whether an addition is of two values of one shape, as they are."""
    shapes = [value.shape for value in step.inputs]
    return len(shapes) == 2 and shapes[0] == shapes[1] and not step.node.kwargs and len(step.node.args) == 2


def _linear_in_one(step: Step) -> bool:
    """Whether an operation with one operand that depends on the images is linear in it."""
    return step.name in BILINEAR or (step.name == "div" and step.node.args[0] is step.node.inputs[0])


def _carry_relevance(
    step: Step, messages: list[Message | None]
) -> tuple[list[Message | None], list[Message | None]]:
    """Take relevance that is no multiple of its value through an operation.

    It moves with values that are moved and through functions of one number; elsewhere it becomes a
    multiplier first.
    """
    nothing: list[Message | None] = [None] * len(step.node.inputs)
    if all(m is None or m.relevance is None for m in messages):
        return nothing, messages
    relevances = [None if m is None else m.relevance for m in messages]
    if step.name in REARRANGING:
        result = step.vjp(relevances)
        if step.ledger is not None:  # what lies on constants, such as padding, does not come to the images
            sums = [float(r.sum()) for r in relevances if r is not None]
            step.ledger.bias += sum(sums) - sum(float(r.sum()) for r in result if r is not None)
        carried = [None if r is None else Message(relevance=r) for r in result]
        return carried, [
            None if m is None or m.multiplier is None else replace(m, relevance=None) for m in messages
        ]
    if step.name in _ELEMENTWISE and len(nothing) == 1 and step.inputs[0].shape == step.output.shape:
        rest = messages[0]
        assert rest is not None
        return [Message(relevance=rest.relevance)], [
            None if rest.multiplier is None else replace(rest, relevance=None)
        ]
    proportional: list[Message | None] = []
    for message, value in zip(messages, step.node.outputs, strict=False):
        if message is None or message.relevance is None or value is None:
            proportional.append(message)
        else:
            proportional.append(Message(divide(message.relevance, value)) + replace(message, relevance=None))
    return nothing, proportional
