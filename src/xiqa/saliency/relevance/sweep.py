"""One recorded forward pass and one sweep back over its operations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from xiqa.errors import SaliencyError, UnsupportedOperationError
from xiqa.saliency.relevance.canonise import canonise
from xiqa.saliency.relevance.operations import ACTIVATIONS
from xiqa.saliency.relevance.rules import Rules
from xiqa.saliency.relevance.step import Ledger, Message, Step
from xiqa.saliency.relevance.tape import Ref, Tape, record

__all__ = ["one_hot", "propagate", "record_reference", "sweep"]

#: The place of the images on every tape.
IMAGES = Ref(0)

Start = Callable[[Tensor], Message]


def one_hot(target: Tensor | int) -> Start:
    """Start with one logit a sample; of a one-logit head the target 0 is the negative logit.

    Args:
        target: A class for all samples, or ``(N,)`` classes.
    """

    def start(logits: Tensor) -> Message:
        index = torch.as_tensor(target, device=logits.device).expand(len(logits))
        if logits.shape[1] == 1:
            return Message(torch.where(index == 1, 1.0, -1.0)[:, None].to(logits))
        return Message(torch.zeros_like(logits).scatter_(1, index[:, None], 1))

    return start


def propagate(
    network: nn.Module,
    images: Tensor,
    target: Tensor | int | Start,
    rules: Rules,
    *,
    reference: Tensor | None = None,
    layer: str | None = None,
    ledger: Ledger | None = None,
) -> Tensor:
    """Explain one logit an image by a set of rules.

    Args:
        network: Any module that gives logits ``(N, K)``; left as it was found.
        images: ``(N, C, H, W)``.
        target: A class for all, ``(N,)`` classes, or what gives the message to start with.
        rules: How relevance passes operations (`Lrp`, `DeepLift`, `Rectified`).
        reference: Images that broadcast to ``images``, for rules that compare.
        layer: Name of a module whose output is to be explained instead of the images.
        ledger: Books where relevance went, if given.

    Returns:
        The explanation, of the images' shape, or of the layer's output.

    Raises:
        UnsupportedOperationError: An operation has no rule; the error names the module.
    """
    layers = () if layer is None else (layer,)
    with torch.inference_mode(False), torch.no_grad():
        tape = canonise(record(network, images, layers))
        roots = (
            None
            if reference is None
            else record_reference(network, reference.to(images).expand_as(images), tape)
        )
        start = target if callable(target) else one_hot(target)
        return sweep(tape, start, rules, roots, tape.layers[layer] if layer else IMAGES, ledger)


class WayBack(Protocol):
    """What a sweep needs: `Rules`, or what else goes back through one operation after the other."""

    def __call__(self, step: Step, messages: list[Message | None]) -> list[Message | None]:
        """The messages to an operation's operands, from those to its results."""
        ...

    def finish(self, value: Tensor, root: Tensor | None, message: Message) -> Tensor:
        """The explanation, from the message to a value."""
        ...


def sweep(
    tape: Tape,
    start: Start,
    rules: WayBack,
    roots: Tape | None = None,
    goal: Ref = IMAGES,
    ledger: Ledger | None = None,
) -> Tensor:
    """Go back over a canonised tape.

    Args:
        tape: The forward pass.
        start: From the logits, the message to start with.
        rules: How relevance passes operations.
        roots: The forward pass of the reference, operation by operation the same.
        goal: The value to explain.
        ledger: Books where relevance went, if given.

    Returns:
        The explanation of the goal.
    """
    logits = tape.value(tape.logits)
    if logits.dim() != 2:
        raise SaliencyError(
            "the network's output cannot be explained", expected="(N, K) logits", got=str(tuple(logits.shape))
        )
    inbox: defaultdict[Ref, Message] = defaultdict(Message)
    inbox[tape.logits] = start(logits)
    if ledger is not None:
        ledger.output += float(inbox[tape.logits].total(logits).sum())
    for node in reversed(tape.nodes[goal.node + 1 :]):
        places = [Ref(node.index, i) for i in range(len(node.outputs))]
        if not any(place in inbox for place in places):
            continue
        messages = [inbox.pop(place, None) for place in places]
        shares = rules(Step(node, tape, roots, ledger), messages)
        for ref, share in zip(node.inputs, shares, strict=True):
            if share is not None:
                inbox[ref] += share
    value = tape.value(goal)
    root = None if roots is None else roots.value(goal)
    relevance = rules.finish(value, root, inbox[goal])
    if ledger is not None:
        ledger.image += float(relevance.sum())
    return relevance


def record_reference(network: nn.Module, reference: Tensor, tape: Tape) -> Tape:
    """Record the pass of reference images ``(N, C, H, W)``, which must take the way of the images' own.

    Raises:
        UnsupportedOperationError: The network runs other operations on the reference, or the same with other
            masks or positions (comparisons of pixels decide them): differences then have no meaning.
    """
    roots = record(network, reference)
    same = len(roots.nodes) == len(tape.nodes) and all(
        root.call == node.call or node.name in ACTIVATIONS
        for root, node in zip(roots.nodes, tape.nodes, strict=True)
    )
    if not same:
        raise UnsupportedOperationError(
            "the network runs other operations on the reference than on the images",
            expected="no branch that depends on pixel values",
        )
    for node, root in zip(tape.nodes, roots.nodes, strict=True):
        constants = zip(tree_leaves(node.args), tree_leaves(root.args), strict=False)
        separate = node.affine is not None or node.name in ACTIVATIONS | {"inside"}
        if not separate and not all(_same(a, b) for a, b in constants):
            raise UnsupportedOperationError(
                f"the operation {node.name!r} in {node.module} takes other constants for the reference",
                expected="no mask or position that depends on pixel values",
            )
    return roots


def _same(a: object, b: object) -> bool:
    """Whether two arguments are equal; weights are told by their place in memory."""
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return a == b
    return a.data_ptr() == b.data_ptr() or torch.equal(a, b)
