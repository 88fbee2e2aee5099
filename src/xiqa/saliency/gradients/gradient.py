r"""The gradient at the image, and its product with the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency.registry import image_method

if TYPE_CHECKING:
    from xiqa.saliency.capture import ImageRecord

__all__ = ["gradient", "inputxgradient", "over_channels"]


def over_channels(values: Tensor, norm: str) -> Tensor:
    r"""One value a pixel of an image-sized attribution ``(N, C, H, W)``.

    Args:
        values: :math:`v`, one attribution a channel.
        norm: ``l2``: :math:`\sqrt{\sum_k v_k^2}`; ``max``: :math:`\max_k |v_k|`;
            ``l1``: :math:`\sum_k |v_k|`; ``signed``: :math:`\sum_k v_k`.

    Returns:
        ``(N, H, W)``; not negative but for ``signed``.

    Raises:
        SaliencyError: The norm is not known.

    >>> import torch
    >>> over_channels(torch.tensor([3.0, -4.0]).reshape(1, 2, 1, 1), "l2").item()
    5.0
    """
    if norm == "l2":
        return values.square().sum(dim=1).sqrt()
    if norm == "max":
        return values.abs().amax(dim=1)
    if norm == "l1":
        return values.abs().sum(dim=1)
    if norm == "signed":
        return values.sum(dim=1)
    raise SaliencyError("unknown norm over channels", expected="l2, max, l1 or signed", got=repr(norm))


@image_method("gradient", cite="simonyan2014deep", dims=(2, 3))
def gradient(image: ImageRecord, *, norm: str = "max") -> Tensor:
    r"""The gradient of the class's logit at the image: what a small change of each pixel would do.

    .. math:: S(u) = \max_k \left| \frac{\partial z_c}{\partial x_k(u)} \right|

    Args:
        image: The image's gradient, ``(N, C, H, W)``.
        norm: How channels become one value: ``max`` (the source's), ``l2``, ``l1`` or ``signed``.

    Returns:
        ``(N, H, W)``, logits a unit of input. Source: simonyan2014deep, section 3.1.
    """
    return over_channels(image.grad, norm)


@image_method("inputxgradient", cite="shrikumar2016not", dims=(2, 3))
def inputxgradient(image: ImageRecord, *, norm: str = "signed") -> Tensor:
    r"""Input times gradient: the contribution of each pixel to the logit, to first order.

    .. math:: S(u) = \sum_k x_k(u)\, \frac{\partial z_c}{\partial x_k(u)}

    On a piecewise linear network without biases the values sum to the logit. Nothing is clipped.

    Args:
        image: The images and their gradients, ``(N, C, H, W)``.
        norm: How channels become one value: ``signed`` keeps the sum; ``l2``, ``max`` and ``l1`` drop signs.

    Returns:
        ``(N, H, W)``, logits. Source: shrikumar2016not.
    """
    return over_channels(image.images * image.grad, norm)
