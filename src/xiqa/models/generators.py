r"""Image generators of the two-generator explanation: light U-Nets that return an image a little changed."""

from __future__ import annotations

import copy
import hashlib
from itertools import pairwise
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Generated", "Generators", "UNet", "bounded", "network_hash"]

Output = Literal["residual", "direct"]


class Generated(NamedTuple):
    """What two generators make of images ``(N, C, H, W)`` in [0, 1]; of the same shape and range.

    Attributes:
        similar: What the classifier calls the same; None where only the other generator was trained.
        adversarial: What it calls otherwise.
    """

    similar: Tensor | None
    adversarial: Tensor


def bounded(images: Tensor) -> Tensor:
    """Grey values brought into [0, 1]; the gradient passes as if they had not been.

    A pixel that has left the range must be able to come back, which it cannot where the gradient is zero.

    >>> bounded(torch.tensor([-0.5, 0.25, 2.0]))
    tensor([0.0000, 0.2500, 1.0000])
    """
    return images + (images.clamp(0, 1) - images).detach()


class UNet(nn.Module):
    r"""A light U-Net from an image to an image.

    ``output="residual"``: :math:`g(x) = \mathrm{clip}_{[0,1]}\big(x + \tanh U(x)\big)`, which starts as the
    identity; ``"direct"``: :math:`g(x) = \sigma(U(x))`, which must learn to draw the image first. Strided
    convolutions lead down, bilinear enlargements up, and each level sees what its own level going down saw
    (``ronneberger2015unet``). Group norms instead of batch norms: no image's result depends on its
    neighbours in the batch.

    Args:
        width: Channels at full resolution; they double twice on the way down.
        depth: How often the resolution is halved.
        output: How the output follows from the last layer.
    """

    def __init__(self, width: int = 12, depth: int = 3, output: Output = "residual") -> None:
        super().__init__()
        self.output = output
        widths = [width * min(2**level, 4) for level in range(depth + 1)]
        self.stem = _convolution(1, width)
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(narrow, wide, stride=2), _convolution(wide, wide))
            for narrow, wide in pairwise(widths)
        )
        self.up = nn.ModuleList(
            _convolution(wide + narrow, narrow) for narrow, wide in reversed(list(pairwise(widths)))
        )
        self.head = nn.Conv2d(width, 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(cast("Tensor", self.head.bias))

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(N, 1, H, W)`` in [0, 1] from such images, of any size."""
        levels = [self.stem(2 * images - 1)]
        for step in self.down:
            levels.append(step(levels[-1]))
        features = levels.pop()
        for step in self.up:
            finer = levels.pop()
            enlarged = F.interpolate(features, size=finer.shape[-2:], mode="bilinear", align_corners=False)
            features = step(torch.cat([enlarged, finer], dim=1))
        drawn = self.head(features)
        return torch.sigmoid(drawn) if self.output == "direct" else bounded(images + torch.tanh(drawn))


class Generators(nn.Module):
    """A similar and an adversarial generator of one start, or the adversarial one alone.

    Args:
        count: 2, or 1 for the adversarial generator alone.
        width: See `UNet`.
        depth: See `UNet`.
        output: See `UNet`.
    """

    def __init__(
        self, count: Literal[1, 2] = 2, width: int = 12, depth: int = 3, output: Output = "residual"
    ) -> None:
        super().__init__()
        self.adversarial = UNet(width, depth, output)
        self.similar = copy.deepcopy(self.adversarial) if count == 2 else None

    def forward(self, images: Tensor) -> Generated:
        """Both images of each image ``(N, 1, H, W)`` in [0, 1]."""
        similar = None if self.similar is None else self.similar(images)
        return Generated(similar, self.adversarial(images))


def network_hash(network: nn.Module) -> str:
    """SHA-256 of a network's parameters and buffers as float32: the same for the same classifier.

    >>> a, b = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> network_hash(a) == network_hash(copy.deepcopy(a).double()), network_hash(a) == network_hash(b)
    (True, False)
    """
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().to(torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, a group norm and a smooth rectifier."""
    groups = next(count for count in (4, 3, 2, 1) if outputs % count == 0)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(groups, outputs),
        nn.SiLU(),
    )
