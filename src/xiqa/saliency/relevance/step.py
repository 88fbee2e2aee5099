"""What a rule sees: one operation with its operands, and the message that came back to its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from xiqa.saliency.relevance.tape import Node, Ref, Tape

__all__ = ["Ledger", "Message", "Messages", "Step", "divide"]


def divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, and 0 where the denominator is 0."""
    return torch.where(denominator == 0, 0, numerator / torch.where(denominator == 0, 1, denominator))


@dataclass(frozen=True, slots=True)
class Message:
    r"""What the output says of one value on the tape; its parts add up.

    A value :math:`x` with a multiplier :math:`m` contributes :math:`m \, x` (to DeepLIFT:
    :math:`m \, \Delta x`). Multipliers pass sums, activations and products without a division, which is
    why nothing explodes where two branches of a residual connection cancel.

    Attributes:
        multiplier: :math:`m`, of the value's shape.
        relevance: Relevance that is *not* proportional to the value (a pixel of 0 may be relevant).
        skew: :math:`d`: the multiplier is :math:`m + d` for the positive and :math:`m - d` for the
            negative contributions to the value (RevealCancel).
    """

    multiplier: Tensor | None = None
    relevance: Tensor | None = None
    skew: Tensor | None = None

    def __add__(self, other: Message) -> Message:
        """Both messages at once."""
        return Message(
            _sum(self.multiplier, other.multiplier),
            _sum(self.relevance, other.relevance),
            _sum(self.skew, other.skew),
        )

    def total(self, value: Tensor) -> Tensor:
        """The relevance of a value."""
        proportional = None if self.multiplier is None else self.multiplier * value
        total = _sum(proportional, self.relevance)
        return torch.zeros_like(value) if total is None else total

    def signed(self, delta: Tensor) -> Tensor | None:
        """The multiplier where a value's contributions are taken as one, positive or negative."""
        return _sum(self.multiplier, None if self.skew is None else self.skew * delta.sign())


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return a if b is None else b
    return a + b


Messages = Sequence[Message | Tensor | None]


@dataclass
class Ledger:
    """Where relevance went, summed over the batch: all of it but ``absorbed`` has a name.

    Attributes:
        output: What the explanation started with.
        image: What arrived at the images.
        bias: What the biases took, and constants such as a sigmoid's value at 0.
        absorbed: What a stabiliser took away, or a rule that is not conservative.
    """

    output: float = 0.0
    image: float = 0.0
    bias: float = 0.0
    absorbed: float = 0.0

    @property
    def gap(self) -> float:
        """What is left unexplained, relative to the output."""
        left = self.output - self.image - self.bias - self.absorbed
        return abs(left) / max(abs(self.output), 1e-300)


# Max pooling knows its way back: kernel, stride, padding, dilation, ceil mode.
_BACKWARD = {"max_pool2d_with_indices": torch.ops.aten.max_pool2d_with_indices_backward}
_DEFAULTS: tuple[Any, ...] = (None, [], 0, 1, False)


class Step:
    """One operation during the backward sweep.

    Args:
        node: The operation.
        tape: The forward pass of the images.
        reference: The forward pass of the reference images (DeepLIFT), or None: the root is zero.
        ledger: Where relevance is booked, or None.
    """

    def __init__(
        self, node: Node, tape: Tape, reference: Tape | None = None, ledger: Ledger | None = None
    ) -> None:
        self.node, self.tape, self.reference, self.ledger = node, tape, reference, ledger

    @property
    def name(self) -> str:
        """Name of the operation."""
        return self.node.name

    @property
    def inputs(self) -> list[Tensor]:
        """The operands that depend on the images."""
        return [self.tape.value(ref) for ref in self.node.inputs]

    @property
    def output(self) -> Tensor:
        """The first result."""
        return self.node.output

    @property
    def roots(self) -> list[Tensor]:
        """The operands at the root: those of the reference, or zeros."""
        if self.reference is None:
            return [torch.zeros_like(value) for value in self.inputs]
        return [self.reference.value(ref) for ref in self.node.inputs]

    @property
    def output_root(self) -> Tensor:
        """The first result at the root."""
        if self.reference is None:
            output: Tensor = self.call(*self.roots)
            return output
        return self.reference.nodes[self.node.index].output

    def call(self, *values: Tensor) -> Any:
        """The operation on other operands."""
        operands = iter(values)

        def fill(argument: Any) -> Any:
            return next(operands) if isinstance(argument, Ref) else argument

        args, kwargs = tree_map(fill, self.node.args), tree_map(fill, self.node.kwargs)
        return self.node.call(*args, **kwargs)

    def vjp(self, grads: Sequence[Tensor | None], *values: Tensor) -> list[Tensor | None]:
        """Vector-Jacobian product of this one operation, at its own operands unless others are given.

        Args:
            grads: One a result, or None.
            values: Operands to use instead of those on the tape.
        """
        if self.node.indices is not None and not values and self.name in _BACKWARD:
            geometry = [*self.node.args[1:], *_DEFAULTS[len(self.node.args) - 1 :]]
            geometry[1] = geometry[1] or geometry[0]
            return [_BACKWARD[self.name](grads[0], self.inputs[0], *geometry, self.node.indices)]
        with torch.enable_grad():
            operands = [value.detach().requires_grad_() for value in values or self.inputs]
            results = self.call(*operands)
            results = results if isinstance(results, (tuple, list)) else [results]
            pairs = [(r, g) for r, g in zip(results, grads, strict=False) if g is not None]
            result = torch.autograd.grad(
                [r for r, _ in pairs], operands, [g for _, g in pairs], allow_unused=True
            )
        return list(result)
