"""A probe scores batches of images and shows nothing else of the network behind it.

Methods and metrics that perturb the input need no gradient and no layer: they see only a `Probe`, so they
run on PyTorch, ONNX Runtime or OpenVINO alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Probe", "TorchProbe", "class_score"]


class Probe(Protocol):
    """Anything that turns images ``(N, C, H, W)`` into logits ``(N, K)`` without gradients."""

    def __call__(self, images: Tensor) -> Tensor:
        """Logits ``(N, K)`` of images ``(N, C, H, W)``."""


class TorchProbe:
    """A probe on a PyTorch network, in evaluation mode, in bounded batches.

    Args:
        model: The network; left as it was found.
        batch_size: The most images that pass at once.
    """

    def __init__(self, model: nn.Module, batch_size: int = 32) -> None:
        self.model = model
        self.batch_size = batch_size

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of all images; see `Probe`."""
        training = [module for module in self.model.modules() if module.training]
        try:
            for module in training:
                module.training = False
            with torch.inference_mode():
                parts = [self.model(chunk) for chunk in images.split(self.batch_size)]
        finally:
            for module in training:
                module.training = True
        return (torch.cat(parts) if len(parts) > 1 else parts[0]).clone()


def class_score(logits: Tensor, target: Tensor | int, *, output: str = "probability") -> Tensor:
    r"""The score of one class a sample.

    ``output="probability"``: softmax over classes, :math:`p_c = e^{z_c} / \sum_k e^{z_k}`, or the
    sigmoid for a one-logit head; ``output="logit"``: :math:`z_c` itself.

    Args:
        logits: ``(N, K)``; with ``K = 1`` the target 1 is :math:`z` and the target 0 is :math:`-z`.
        target: A class for all samples, or ``(N,)`` classes.
        output: ``probability``, ``sigmoid`` (each class on its own: multi-label heads) or ``logit``.

    Returns:
        ``(N,)`` scores.

    >>> class_score(torch.tensor([[0.0, 0.0]]), 1)
    tensor([0.5000])
    """
    index = torch.as_tensor(target, device=logits.device).expand(len(logits))
    if logits.shape[1] == 1:
        signed = torch.where(index == 1, logits[:, 0], -logits[:, 0])
        return signed if output == "logit" else signed.sigmoid()
    if output == "logit":
        scores = logits
    elif output == "sigmoid":
        scores = logits.sigmoid()
    else:
        scores = logits.softmax(dim=1)
    return scores.gather(1, index[:, None])[:, 0]
