"""Small changes under which a verdict must hold, so that no pattern of pixels turns it unseen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["gaussian_blur", "unsteady"]


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    r"""Images ``(N, 1, H, W)`` under a Gaussian of ``sigma`` pixels, cut off after three; mirrored borders.

    >>> round(gaussian_blur(torch.ones(1, 1, 8, 8), 1.0).mean().item(), 4)
    1.0
    """
    reach = min(int(3 * sigma + 0.5), images.shape[-1] - 1, images.shape[-2] - 1)
    if reach < 1:
        return images
    places = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (places / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(images, (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])


def unsteady(
    images: Tensor,
    draws: torch.Generator,
    *,
    jitter: int = 0,
    zoom: float = 0.0,
    blur: float = 0.0,
    noise: float = 0.0,
) -> Tensor:
    """Images, enlarged, shifted, blurred and with noise, all of a batch by the same amounts.

    Args:
        images: ``(N, 1, H, W)``.
        draws: Decides how much.
        jitter: Pixels of the shift at most, in either direction; what leaves returns on the other side.
        zoom: Share of the enlargement at most.
        blur: Pixels, of the Gaussian's standard deviation at most.
        noise: Its standard deviation.

    Returns:
        ``(N, 1, H', W')``, larger where they were enlarged.
    """
    if zoom:
        factor = 1 + zoom * float(torch.rand((), generator=draws))
        sides = [round(side * factor) for side in images.shape[-2:]]
        images = F.interpolate(images, size=sides, mode="bilinear", align_corners=False)
    if jitter:
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=draws)
        images = images.roll((int(shift[0]), int(shift[1])), dims=(-2, -1))
    if blur:
        images = gaussian_blur(images, blur * float(torch.rand((), generator=draws)))
    if noise:
        images = images + noise * torch.randn(images.shape, generator=draws).to(images)
    return images
