"""DeconvNet, guided backpropagation and guided Grad-CAM: rectifiers that let only positive signals back.

These change the gradient at rectifiers and nowhere else, so they are hooks on the graph of the forward pass
that all other methods share, for the time of one backward pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from xiqa.errors import UnsupportedOperationError
from xiqa.saliency.capture import Rule
from xiqa.saliency.gradients.gradient import over_channels
from xiqa.saliency.registry import composed_method, image_method
from xiqa.saliency.relevance.operations import DIFFERENTIABLE, RECTIFIERS
from xiqa.saliency.relevance.tape import record

if TYPE_CHECKING:
    from xiqa.saliency.capture import ImageRecord

__all__ = ["Rectified", "deconvnet", "guidedbackprop", "guidedgradcam"]

# gradients have the names of their operations, without underscores
_KNOWN = frozenset(name.replace("_", "") for name in DIFFERENTIABLE)
_RECTIFIERS = frozenset(name.replace("_", "") for name in RECTIFIERS)


@dataclass(frozen=True)
class Rectified(Rule):
    r"""Gradients :math:`g` at rectifiers :math:`y = f(x)` as DeconvNet or guided backpropagation take them.

    - DeconvNet: :math:`g_x = \max(g_y, 0)`, whatever the forward pass let through.
    - Guided: :math:`g_x = \max(g_y, 0) \, f'(x) \, 1_{x > 0}`. For ReLU this is the source's rule; for SiLU,
      GELU, hard-swish and leaky or exponential units, which let some negative values through, it keeps the
      rule's meaning: only what is active and only what speaks for the class.

    Gates (sigmoid, softmax), pools and norms keep their gradient.

    Attributes:
        guided: Guided backpropagation; False: DeconvNet.
    """

    guided: bool = True

    @contextmanager
    def backward(self, logits: Tensor, network: nn.Module, images: Tensor) -> Iterator[None]:
        """Hook the rectifiers in the graph behind the logits; see `Rule.backward`."""
        with ExitStack() as undo:
            for node in _graph(logits):
                name = _operation(node)
                if name not in _KNOWN:
                    raise _unknown(node.name(), name, network, images)
                if name in _RECTIFIERS:
                    undo.callback(node.register_hook(_Hook(node, self.guided)).remove)
            yield


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
        found = inputs[0].clamp(min=0)
        saved = next((getattr(self._node, name) for name in _SAVED if hasattr(self._node, name)), None)
        return (found if saved is None else found * (saved > 0), *inputs[1:])


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


def _unknown(title: str, name: str, network: nn.Module, images: Tensor) -> UnsupportedOperationError:
    """The error for an operation that may or may not rectify; one more pass finds where it is."""
    nodes = record(network, images[:1]).nodes
    places = [node.module for node in nodes if node.name.replace("_", "") == name]
    where = f"in {places[0]}" if places else "of a custom gradient"
    return UnsupportedOperationError(
        f"no rule for the operation {title!r} {where}",
        expected="rectifiers, gates, norms, pools and linear operations",
        todo="use a method that takes the gradient as it is (gradient, integratedgradients)",
    )


@image_method("guidedbackprop", cite="springenberg2015striving", rule=Rectified)
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


@image_method("deconvnet", cite="zeiler2014visualizing", rule=_deconvolution)
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
    "guidedgradcam", cite="selvaraju2017gradcam", parts=("guidedbackprop:norm=signed", "gradcam")
)
def guidedgradcam(fine: Tensor, coarse: Tensor) -> Tensor:
    r"""Guided Grad-CAM: guided backpropagation where Grad-CAM lies, :math:`S(u) = G(u) \, L(u)`.

    Args:
        fine: Guided backpropagation, channels summed, ``(N, H, W)``.
        coarse: Grad-CAM, ``(N, h, w)``, stretched bilinearly.

    Returns:
        ``(N, H, W)``, signed. Source: selvaraju2017gradcam, section 3.2.
    """
    size = (fine.shape[-2], fine.shape[-1])
    stretched = torch.nn.functional.interpolate(coarse[:, None], size, mode="bilinear", align_corners=False)
    return fine * stretched[:, 0]
