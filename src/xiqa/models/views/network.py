"""Which view an image is: a small network on a thumbnail, where scanners look alike and bodies do not.

What makes two hospitals' pictures differ (noise, sharpening, resolution) is finer than a thumbnail; what
makes a negative, an upside-down or a lateral picture differ from a frontal one is not. So the question "is
this the view that the model was made for" is asked here, beside the network and for a small part of its time.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xiqa.models.views.check import ViewCheck

__all__ = ["ViewNet"]

FLAT = 0.05  # contrast below which a thumbnail is no longer stretched


class ViewNet(nn.Module):
    r"""Logits of the views from the network's own input.

    The input is averaged to a thumbnail :math:`t` of one channel and brought to one contrast,
    :math:`(t - \bar t) / (s_t + 0.05)`; four convolutions and one linear layer on their output read it. The
    output is pooled to 4 x 4 cells, not to one: what lies above and what below is not lost.

    Args:
        check: Its sizes and views.
    """

    def __init__(self, check: ViewCheck | None = None) -> None:
        super().__init__()
        self.check = check or ViewCheck()
        widths = [1, *(self.check.width * factor for factor in (1, 2, 4, 4))]
        stages = [
            nn.Sequential(
                nn.Conv2d(before, after, 3, stride=1 if last else 2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            )
            for before, after, last in zip(widths, widths[1:], (False, False, False, True), strict=False)
        ]
        self.body = nn.Sequential(*stages, nn.AvgPool2d(2))
        cells = (self.check.side // 16) ** 2
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(widths[-1] * cells, len(self.check.views)))

    def thumbnails(self, images: Tensor) -> Tensor:
        """Thumbnails ``(N, 1, side, side)`` of one contrast, of images ``(N, C, H, W)``."""
        grey = images.mean(1, keepdim=True)
        side = self.check.side
        small = F.avg_pool2d(grey, (grey.shape[-2] // side, grey.shape[-1] // side))
        mean = small.mean((-2, -1), keepdim=True)
        spread = (small - mean).square().mean((-2, -1), keepdim=True).sqrt()
        return (small - mean) / (spread + FLAT)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, V)`` of images ``(N, C, H, W)``."""
        return cast("Tensor", self.head(self.body(self.thumbnails(images)).flatten(1)))

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Probabilities ``(N, V)`` of the views."""
        return cast("Tensor", self(images)).softmax(1)
