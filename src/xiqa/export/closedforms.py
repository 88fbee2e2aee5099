"""Methods that a pooled linear head turns into one product: they need no backward pass in the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency.cams.pooledhead import PooledHead, behind
from xiqa.saliency.capture import ForwardPass

if TYPE_CHECKING:
    from torch import nn

    from xiqa.saliency.registry import Bound

__all__ = ["CLOSED_FORMS", "closed_form"]

CLOSED_FORMS = ("cam", "reciprocam")


def closed_form(
    network: nn.Module, method: Bound, layer: str, poor_class: int, images: Tensor
) -> Callable[[Tensor], Tensor]:
    r"""The map as a function of the layer's output :math:`A`, for a head :math:`z = W \overline{A} + b`.

    CAM is :math:`\sum_k w_{ck} A_k(u)`; Recipro-CAM (1x1) the class's score of
    :math:`\tfrac{1}{hw} W A(u) + b`.

    Args:
        network: Frozen, in evaluation mode.
        method: ``cam`` or ``reciprocam`` with its parameters.
        layer: Name of the layer.
        poor_class: The explained class.
        images: ``(1, C, H, W)``, to find the head with.

    Raises:
        SaliencyError: The head is another, or the parameters have no closed form.
    """
    passed = ForwardPass(network, images, [layer], grad=[])
    records, _ = passed.backward(torch.tensor([poor_class]))
    head = behind(records[layer])
    if not isinstance(head, PooledHead):
        raise SaliencyError(
            f"{method.info.name} cannot be exported",
            expected=f"global average pooling and one linear layer behind {layer!r}",
            got=type(network).__name__,
            todo="export gradcam or normgrad_conv1x1",
        )
    if method.info.name == "cam":
        weight = _row(head.weight, poor_class)
        relu = bool(method.params["relu"])

        def cam(output: Tensor) -> Tensor:
            total = (output * weight[:, None, None]).sum(dim=1)
            return total.relu() if relu else total

        return cam
    if method.params["kernel"] != "1x1":
        raise SaliencyError(
            "only Recipro-CAM's 1x1 kernel has a closed form", got=str(method.params["kernel"])
        )

    def reciprocam(output: Tensor) -> Tensor:
        places = output.flatten(2).transpose(1, 2) / (output.shape[2] * output.shape[3])
        logits = places @ head.weight.T + head.bias  # (N, hw, K)
        if method.params["output"] == "probability" and logits.shape[2] > 1:
            score = logits.softmax(dim=2)[..., poor_class]
        else:
            score = logits[..., poor_class] if logits.shape[2] > 1 else logits[..., 0] * (2 * poor_class - 1)
            score = score.sigmoid() if method.params["output"] == "probability" else score
        grid: Tensor = score.unflatten(1, output.shape[2:])
        return grid

    return reciprocam


def _row(weight: Tensor, poor_class: int) -> Tensor:
    """The class's weights ``(C,)``; a one-logit head explains class 0 by -z."""
    return weight[poor_class] if len(weight) > 1 else weight[0] * (2 * poor_class - 1)
