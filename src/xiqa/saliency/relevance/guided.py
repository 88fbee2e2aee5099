"""DeconvNet, guided backpropagation and guided Grad-CAM: rectifiers that let only positive signals back.

These change the gradient at rectifiers and nowhere else, so they are hooks on the graph of the forward pass
that all other methods share, for the time of one backward pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from xiqa.errors import UnsupportedOperationError
from xiqa.saliency.arrays import enlarge
from xiqa.saliency.capture import Rule
from xiqa.saliency.gradients.gradient import over_channels
from xiqa.saliency.registry import composed_method, image_method
from xiqa.saliency.relevance.canonise import canonise
from xiqa.saliency.relevance.operations import (
    ACTIVATIONS,
    DIFFERENTIABLE,
    ELEMENTWISE,
    POOLS,
    REARRANGING,
    RECTIFIERS,
    SURELY_NO_RECTIFIER,
)
from xiqa.saliency.relevance.step import Message, Step
from xiqa.saliency.relevance.sweep import sweep
from xiqa.saliency.relevance.tape import record
from xiqa.saliency.relevance.units import rectifies

if TYPE_CHECKING:
    from xiqa.saliency.capture import ImageRecord

__all__ = ["Rectified", "deconvnet", "guidedbackprop", "guidedgradcam"]

# gradients have the names of their operations, without underscores; what is not among these goes by the tape
_PLAIN = frozenset(name.replace("_", "") for name in SURELY_NO_RECTIFIER | RECTIFIERS)
_RECTIFIERS = frozenset(name.replace("_", "") for name in RECTIFIERS | {"hardtanh"})
_GATES = frozenset(("sigmoid", "tanh", "hardsigmoid"))


@dataclass(frozen=True)
class Rectified(Rule):
    r"""Gradients :math:`g` at rectifiers :math:`y = f(x)` as DeconvNet or guided backpropagation take them.

    - DeconvNet: :math:`g_x = \max(g_y, 0)`, whatever the forward pass let through.
    - Guided: :math:`g_x = \max(g_y, 0) \, f'(x) \, 1_{x > 0}`. For ReLU this is the source's rule; for SiLU,
      GELU, hard-swish and leaky or exponential units, which let some negative values through, it keeps the
      rule's meaning: only what is active and only what speaks for the class.

    Gates (sigmoid, softmax), pools and norms keep their gradient. What a rectifier is, is decided by what it
    does, however it is spelled (`xiqa.saliency.relevance.units`): where the graph has anything but operations
    that surely are or surely are none, the network is recorded and swept once more.

    Attributes:
        guided: Guided backpropagation; False: DeconvNet.
    """

    guided: bool = True

    @contextmanager
    def backward(
        self, logits: Tensor, network: nn.Module, images: Tensor
    ) -> Iterator[Callable[[Tensor], Tensor] | None]:
        """Hook the rectifiers in the graph behind the logits, or go by the tape; see `Rule.backward`."""
        nodes = list(_graph(logits))
        if not all(map(_is_plain, nodes)):
            yield lambda seed: self._swept(network, images, seed)
            return
        with ExitStack() as undo:
            for node in nodes:
                if _operation(node) in _RECTIFIERS:
                    undo.callback(node.register_hook(_Hook(node, self.guided)).remove)
            yield None

    def _swept(self, network: nn.Module, images: Tensor, seed: Tensor) -> Tensor:
        with torch.no_grad():
            tape = canonise(record(network, images))
            return sweep(tape, lambda logits: Message(seed), _Sweep(self.guided))


@dataclass(frozen=True)
class _Sweep:
    """The rule on a tape: each operation's own gradient, but at rectifiers."""

    guided: bool

    def __call__(self, step: Step, messages: list[Message | None]) -> list[Message | None]:
        grads = [None if message is None else message.multiplier for message in messages]
        if step.node.affine is not None:
            assert grads[0] is not None
            return [Message(step.node.affine.back(grads[0], step.inputs[0]))]
        if step.name not in DIFFERENTIABLE | ELEMENTWISE | ACTIVATIONS or _chooses_a_constant(step):
            raise UnsupportedOperationError(
                f"no rule for the operation {step.name!r} in {step.node.module}",
                expected="rectifiers, gates, norms, pools and linear operations",
                todo="use a method that takes the gradient as it is (gradient, integratedgradients)",
            )
        if not rectifies(step.node, step.tape):
            return [None if grad is None else Message(grad) for grad in step.vjp(grads)]
        assert grads[0] is not None
        passed = grads[0].clamp(min=0)
        if self.guided:
            (grad,) = step.vjp([passed])
            assert grad is not None
            # f' may be negative where a smooth rectifier dips, but only where x is
            passed = grad * (step.inputs[0] > 0)
        return [Message(passed)]

    def finish(self, value: Tensor, root: Tensor | None, message: Message) -> Tensor:
        """The gradient at the images; see `WayBack`."""
        return torch.zeros_like(value) if message.multiplier is None else message.multiplier


def _chooses_a_constant(step: Step) -> bool:
    """Whether a maximum over values that were put beside constants may be a rectifier: it cannot be told."""
    ref = step.node.inputs[0] if step.name in POOLS and step.node.inputs else None
    while ref is not None:
        node = step.tape.nodes[ref.node]
        if node.name in ("stack", "cat") and len(node.inputs) < len(node.args[0]):
            return True
        ref = node.inputs[0] if node.name in REARRANGING and len(node.inputs) == 1 else None
    return False


class _Hook:
    """Replaces the gradient at one rectifier's input."""

    def __init__(self, node: Any, guided: bool) -> None:
        self._node, self._guided = node, guided

    def __call__(self, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor | None, ...]) -> Any:
        if inputs[0] is None or outputs[0] is None:
            return None
        if not self._guided:
            return (outputs[0].clamp(min=0), *inputs[1:])
        # f' is not negative where x > 0, so that the sign of f'(x) g is that of g there
        rectified = inputs[0].clamp(min=0)
        saved = next((getattr(self._node, name) for name in _SAVED if hasattr(self._node, name)), None)
        return (rectified if saved is None else rectified * (saved > 0), *inputs[1:])


#: Where PyTorch keeps a rectifier's operand, or its result, which is positive where the operand is.
_SAVED = ("_saved_self", "_saved_self_or_result")


def _graph(logits: Tensor) -> Iterator[Any]:
    """Every node of the graph behind a tensor."""
    waiting, seen = [logits.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(following for following, _ in node.next_functions)


def _operation(node: Any) -> str:
    """Name of an operation from that of its gradient: ``AvgPool2DBackward0`` -> ``avgpool2d``."""
    return re.sub(r"backward\d*$", "", node.name().rpartition("::")[2].lower())


def _is_plain(node: Any) -> bool:
    """Whether an operation surely is, or surely is no rectifier, nor a part of one that is spelled out."""
    name = _operation(node)
    if name == "hardtanh":  # ReLU6, but not behind a shift: relu6(x + 3) / 6 is a gate
        before = node.next_functions[0][0]
        return node._saved_min_val == 0 and (before is None or _operation(before) != "add")
    if name == "mul":
        return not _meets(node) and not _masks(node)
    return name in _PLAIN and not (name in ("add", "sub") and _meets(node, residual=True))


def _masks(node: Any) -> bool:
    """Whether a product is with as many constants as there are numbers: what says which of them pass."""
    if all(following is not None for following, _ in node.next_functions):
        return False
    constant = node._saved_other if node.next_functions[0][0] is not None else node._saved_self
    return constant is not None and constant.numel() >= max(2, prod(node._input_metadata[0].shape))


def _meets(node: Any, *, residual: bool = False) -> bool:
    """Whether both operands are made of one value, each number on its own; but for residual connections."""
    ways = [following for following, _ in node.next_functions if following is not None]
    if len(ways) != 2:
        return False
    ends = [_behind(way) for way in ways]
    return ends[0] is ends[1] and not (
        residual and any(end is way for end, way in zip(ends, ways, strict=True))
    )


def _behind(node: Any) -> Any:
    """The first operation back that mixes numbers: what is elementwise of one operand is passed."""
    while _operation(node) in _ONE_BY_ONE:
        ways = [following for following, _ in node.next_functions if following is not None]
        if len(ways) != 1:
            break
        node = ways[0]
    return node


_ONE_BY_ONE = _GATES | _RECTIFIERS | {"mul", "add", "sub", "div", "neg", "rsub", "clone"}


@image_method("guidedbackprop", cite="springenberg2015striving", rule=Rectified, dims=(2, 3))
def guidedbackprop(image: ImageRecord, *, norm: str = "max") -> Tensor:
    r"""Guided backpropagation: the gradient along paths that are active and speak for the class alone.

    .. math:: g_x = \max(g_y, 0) \, f'(x) \, 1_{x > 0} \quad \text{at each rectifier}\ y = f(x)

    Args:
        image: The images and their guided gradients, ``(N, C, H, W)``.
        norm: How channels become one value: ``max``, ``l2``, ``l1`` or ``signed``.

    Returns:
        ``(N, H, W)``, logits a unit of input. Source: springenberg2015striving, section 3.4; for activations
        other than ReLU see `Rectified`.
    """
    return over_channels(image.grad, norm)


def _deconvolution() -> Rectified:
    return Rectified(guided=False)


@image_method("deconvnet", cite="zeiler2014visualizing", rule=_deconvolution, dims=(2, 3))
def deconvnet(image: ImageRecord, *, norm: str = "max") -> Tensor:
    r"""DeconvNet: the class's signal sent back through the transposed network, rectified on its way.

    .. math:: g_x = \max(g_y, 0) \quad \text{at each rectifier}

    Max pooling sends it back to the position of the maximum ("switches").

    Args:
        image: The images and what came back to them, ``(N, C, H, W)``.
        norm: How channels become one value: ``max``, ``l2``, ``l1`` or ``signed``.

    Returns:
        ``(N, H, W)``. Source: zeiler2014visualizing, section 2.1. Deviation: the starting point is the
        class's logit, not one feature map's strongest activation.
    """
    return over_channels(image.grad, norm)


@composed_method(
    "guidedgradcam", cite="selvaraju2017gradcam", parts=("guidedbackprop:norm=signed", "gradcam"), dims=(2, 3)
)
def guidedgradcam(fine: Tensor, coarse: Tensor) -> Tensor:
    r"""Guided Grad-CAM: guided backpropagation where Grad-CAM lies, :math:`S(u) = G(u) \, L(u)`.

    Args:
        fine: Guided backpropagation, channels summed, ``(N, H, W)``.
        coarse: Grad-CAM, ``(N, h, w)``, stretched bilinearly.

    Returns:
        ``(N, H, W)``, signed. Source: selvaraju2017gradcam, section 3.2.
    """
    return fine * enlarge(coarse, tuple(fine.shape[1:]))
