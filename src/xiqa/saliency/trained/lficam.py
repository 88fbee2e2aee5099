r"""LFI-CAM: the map that a network with such a branch looks by."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from xiqa.errors import SaliencyError
from xiqa.saliency.registry import Needs, image_method

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.saliency.capture import ImageRecord

__all__ = ["lficam"]


@image_method("lficam", needs=Needs.INPUT | Needs.NETWORK | Needs.TRAINED, cite="lee2021lficam")
def lficam(image: ImageRecord) -> Tensor:
    r"""LFI-CAM: the feature maps' sum, weighted by importances that a branch of the network has learned.

    .. math:: M = \mathrm{unit}\Big(\mathrm{ReLU}\Big(\sum_k \alpha_k \hat A_k\Big)\Big)

    The branch is trained with the classifier, which multiplies its features by :math:`1 + M`: the map is not
    drawn afterwards, the network has looked by it. It shows where the network looks, whichever class it then
    names: the map of both classes is the same. It costs one forward pass more.

    Args:
        image: The images, and a network with an attention branch:
            `xiqa.models.heads.attention.AttentionNet`, or any module with a method
            ``attention_map`` from images to ``(N, h, w)``.

    Returns:
        ``(N, h, w)`` in [0, 1].

    Raises:
        SaliencyError: The network has no such branch. Source: lee2021lficam.
    """
    network = image.pass_.network
    branch = getattr(network, "attention_map", None)
    if not callable(branch):
        raise SaliencyError(
            f"{type(network).__name__} has no attention branch",
            expected="a network trained with one",
            todo='train one: xiqa train lficam; in a recipe of your own, head = "lficam"',
        )
    with torch.no_grad():
        return cast("Tensor", branch(image.images))
