"""A classifier that decides by a map of local evidence, so that its verdict has a place by construction."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EvidenceNet", "SmoothMax"]


class SmoothMax(nn.Module):
    r"""A smooth maximum over an evidence map.

    .. math:: z = \frac{1}{r} \log \frac{1}{hw} \sum_{u} e^{r E(u)}

    lies between the mean (:math:`r \to 0`) and the maximum (:math:`r \to \infty`) of the map. Its gradient
    is spread over every strong place, where a plain maximum would show only one. Source:
    ``pinheiro2015image``.

    Args:
        sharpness: :math:`r > 0`.

    >>> SmoothMax(1000.0)(torch.tensor([[[[0.0, 3.0]]]]))
    tensor([[2.9993]])
    """

    def __init__(self, sharpness: float = 2.0) -> None:
        super().__init__()
        self.sharpness = sharpness

    def forward(self, evidence: Tensor) -> Tensor:
        """``(N, K, h, w)`` evidence to ``(N, K)`` scores."""
        places = evidence.shape[-2] * evidence.shape[-1]
        return (torch.logsumexp(self.sharpness * evidence, dim=(-2, -1)) - math.log(places)) / self.sharpness


class EvidenceNet(nn.Module):
    r"""A backbone, a small feature pyramid, an evidence map and its smooth maximum.

    The pyramid brings the deep stages' meaning to the grid of the finest stage (``lin2017feature``):
    :math:`P = \mathrm{fuse}(\sum_s \mathrm{up}(\mathrm{lateral}_s(A_s)))`. One convolution reads the evidence
    :math:`E(u)` for the poor class at every place, and the two logits are
    :math:`(-z/2, z/2)` with :math:`z = a\,\mathrm{smoothmax}(E) + b`, so that the poor class's probability is
    :math:`\sigma(z)` and both classes can be explained.

    Args:
        body: Network that returns a list of feature maps, fine to coarse (timm's ``features_only``).
        channels: Their channels.
        width: Channels of the pyramid.
        sharpness: Of the smooth maximum.
    """

    def __init__(
        self, body: nn.Module, channels: Sequence[int], width: int = 96, sharpness: float = 2.0
    ) -> None:
        super().__init__()
        self.body = body
        self.laterals = nn.ModuleList(_convolution(count, width, 1, relu=False) for count in channels)
        self.fuse = nn.Sequential(
            _convolution(width, width, 3, groups=width), _convolution(width, width, 1), _context(width)
        )
        self.evidence = nn.Conv2d(width, 1, 1)
        self.pool = SmoothMax(sharpness)
        self.scale = nn.Linear(1, 1)
        nn.init.constant_(cast("Tensor", self.evidence.bias), -4.0)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.scale.bias)

    def evidence_map(self, images: Tensor) -> Tensor:
        """The evidence logits ``(N, 1, h, w)`` of images ``(N, C, H, W)``, at the finest stage's stride."""
        stages = self.body(images)
        finest = stages[0].shape[-2:]
        total = self.laterals[0](stages[0])
        for lateral, stage in zip(self.laterals[1:], stages[1:], strict=True):
            deep = lateral(stage)
            total = total + F.interpolate(deep, size=finest, mode="bilinear", align_corners=False)
        return cast("Tensor", self.evidence(self.fuse(F.relu(total))))

    def classify(self, evidence: Tensor) -> Tensor:
        """The logits ``(N, 2)`` of an evidence map."""
        z = self.scale(self.pool(evidence))
        return torch.cat((-z / 2, z / 2), dim=1)

    def shift(self, amount: float) -> None:
        """Add to :math:`z`, the margin between the two logits, for good: how calibration moves even odds."""
        with torch.no_grad():
            self.scale.bias.add_(amount)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, 2)`` of images ``(N, C, H, W)``."""
        return self.classify(self.evidence_map(images))


def _convolution(
    inputs: int, outputs: int, size: int, *, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """Convolution, batch norm and, unless told otherwise, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups, bias=False)
    parts: list[nn.Module] = [convolution, nn.BatchNorm2d(outputs)]
    return nn.Sequential(*parts, *([nn.ReLU()] if relu else []))


def _context(width: int) -> nn.Sequential:
    """A depthwise 3x3 and a pointwise convolution: a wider look at half the cost of a full one."""
    return nn.Sequential(_convolution(width, width, 3, groups=width), _convolution(width, width, 1))
