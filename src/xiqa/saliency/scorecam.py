r"""Score-CAM and its kin: each channel, as a mask on the image, is weighted by the score that it keeps.

.. math:: L = \mathrm{ReLU}\Big(\sum_k \alpha_k A_k\Big), \qquad H_k = s(\mathrm{up}(A_k)),
   \quad s(m) = \frac{m - \min m}{\max m - \min m}

What :math:`\alpha_k` is made of differs:

=========  =========================================================================================
method     weight
=========  =========================================================================================
Score-CAM  paper: softmax over the channels of :math:`f(x \circ H_k) - f(x_b)`, f the logit; authors' code:
           the probability :math:`p(x \circ H_k)` itself, with neither baseline nor softmax over channels
SS-CAM     softmax of the mean over noisy masks :math:`s(\mathrm{up}(A_k) + \varepsilon)` or noisy inputs
           :math:`x \circ H_k + \varepsilon`
IS-CAM     softmax of the mean along the path :math:`x \circ \frac{i}{n} H_k,\ i = 1 \dots n`
=========  =========================================================================================

The baseline's score is one number for all channels, so the softmax cancels it: it is never computed. A
channel that is constant makes no mask and gets weight 0. Maps stay at the layer's size (the authors' code
adds up enlarged channels; the two differ only in taking the positive part before or after enlarging).

Sources: wang2020scorecam, wang2020sscam, naidu2020iscam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from xiqa.saliency.perturb import chunks, generator

if TYPE_CHECKING:
    from xiqa.saliency.perturb import Score

__all__ = ["channel_masks", "integrated_scores", "kept_scores", "smoothed_scores", "weighted_channels"]


def channel_masks(channels: Tensor, size: tuple[int, int]) -> Tensor:
    """Channels ``(M, h, w)`` enlarged (bilinear) and stretched to [0, 1]: masks ``(M, H, W)``."""
    return stretch(F.interpolate(channels[:, None], size, mode="bilinear", align_corners=False)[:, 0])


def stretch(masks: Tensor) -> Tensor:
    """Each mask ``(M, H, W)`` from its own minimum and maximum to [0, 1]; a constant one becomes 0."""
    low, high = masks.amin(dim=(1, 2), keepdim=True), masks.amax(dim=(1, 2), keepdim=True)
    return (masks - low) / torch.where(high > low, high - low, torch.ones_like(high))


def kept_scores(score: Score, image: Tensor, channels: Tensor) -> Tensor:
    """Scores ``(C,)`` of the image ``(c, H, W)`` under each channel's mask; channels ``(C, h, w)``."""
    size = (int(image.shape[-2]), int(image.shape[-1]))
    return torch.cat(
        [score(image * channel_masks(channels[part], size)[:, None]) for part in chunks(len(channels), size)]
    )


def smoothed_scores(
    score: Score, image: Tensor, channels: Tensor, *, samples: int, std: float, where: str, seed: int
) -> Tensor:
    """SS-CAM's mean score of each channel ``(C,)`` under noise of the given standard deviation.

    ``where="features"`` adds it to the enlarged channel before it is stretched (SS-CAM (1)),
    ``where="input"`` to the masked image (SS-CAM (2)).
    """
    size = (int(image.shape[-2]), int(image.shape[-1]))
    source = generator(seed)
    scores = torch.zeros(len(channels), samples, dtype=torch.float64)
    pairs = [(k, i) for k in range(len(channels)) for i in range(samples)]
    for part in chunks(len(pairs), size):
        picked = channels[[k for k, _ in pairs[part]]]
        shape = size if where == "features" else tuple(image.shape)
        # drawn one by one: the stream must not depend on how the work is cut into chunks
        noise = std * torch.stack([torch.randn(shape, generator=source) for _ in pairs[part]]).to(image)
        if where == "features":
            enlarged = F.interpolate(picked[:, None], size, mode="bilinear", align_corners=False)[:, 0]
            copies = image * stretch(enlarged + noise)[:, None]
        else:
            copies = image * channel_masks(picked, size)[:, None] + noise
        scores.flatten()[part] = score(copies).double().cpu()
    return scores.mean(dim=1).to(image)


def integrated_scores(score: Score, image: Tensor, channels: Tensor, *, steps: int) -> Tensor:
    """IS-CAM's mean score of each channel ``(C,)`` while its masked image is faded in."""
    size = (int(image.shape[-2]), int(image.shape[-1]))
    total = torch.zeros(len(channels), dtype=torch.float64)
    for part in chunks(len(channels), size):
        masked = image * channel_masks(channels[part], size)[:, None]
        for step in range(1, steps + 1):
            total[part] += score(masked * (step / steps)).double().cpu()
    return (total / steps).to(image)


def weighted_channels(channels: Tensor, scores: Tensor, *, softmax: bool = True) -> Tensor:
    """The positive part ``(h, w)`` of the channels' sum, weighted by their scores or the softmax of these."""
    varies = channels.amax(dim=(1, 2)) > channels.amin(dim=(1, 2))
    if softmax:
        scores = scores.masked_fill(~varies, -torch.inf).softmax(dim=0)
    weights = torch.where(varies, scores, torch.zeros_like(scores))
    return torch.einsum("k,khw->hw", weights, channels).relu()
