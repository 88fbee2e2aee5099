"""The forward pass of all relevance methods: one tape, shared by those that are asked for together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from xiqa.errors import SaliencyError
from xiqa.saliency.capture import Rule
from xiqa.saliency.relevance.canonise import canonise
from xiqa.saliency.relevance.sweep import one_hot, record_reference, sweep
from xiqa.saliency.relevance.tape import Tape, record

if TYPE_CHECKING:
    from xiqa.saliency.capture import ImageRecord
    from xiqa.saliency.relevance.rules import Rules

__all__ = ["Recorded", "Recording", "explained"]


class Recording:
    """Runs a network and keeps the tape."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.tape: Tape | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Logits ``(N, K)``."""
        self.tape = canonise(record(self.network, images))
        return self.tape.value(self.tape.logits)


@dataclass(frozen=True)
class Recorded(Rule):
    """A forward pass on tape; there is no backward pass besides the methods' own sweeps."""

    own_forward: ClassVar[bool] = True

    @contextmanager
    def forward(self, network: nn.Module) -> Iterator[Callable[[Tensor], Tensor]]:
        """See `Rule.forward`."""
        yield Recording(network)


def explained(image: ImageRecord, rules: Rules, reference: Tensor | None = None) -> Tensor:
    """The explanation ``(N, C, H, W)`` of a recorded pass by a set of rules.

    Args:
        image: The images and their pass, made under `Recorded`.
        rules: How relevance passes operations.
        reference: ``(N, C, H, W)``, for rules that compare.
    """
    context = image.pass_
    if not isinstance(context.run, Recording) or context.run.tape is None:
        raise SaliencyError("relevance needs a recorded pass", got=type(context.run).__name__)
    tape = context.run.tape
    roots = None if reference is None else record_reference(context.network, reference, tape)
    return sweep(tape, one_hot(context.target), rules, roots)
