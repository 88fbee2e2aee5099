r"""Image generators of the two-generator explanation: light U-Nets that return an image a little changed."""

from __future__ import annotations

import copy
import hashlib
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Drawn", "Generated", "Generators", "PixelNorm", "UNet", "bounded", "network_hash"]

Output = Literal["painted", "residual", "direct"]
SHUT = -3.0  # of the gate at the start: open by a twentieth
AROUND = 15  # pixels at half the resolution, over which the local mean is taken
CONTRAST = 10.0  # how many times as strong the network sees it


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


class Drawn(NamedTuple):
    """What one generator makes of images, each part ``(N, 1, H, W)`` in [0, 1].

    Attributes:
        image: The image.
        gate: Where it is painted; None where it was made otherwise.
        paint: With what.
    """

    image: Tensor
    gate: Tensor | None = None
    paint: Tensor | None = None


class PixelNorm(nn.Module):
    r"""Features of unit mean square at every place, :math:`f_c / \sqrt{\tfrac1C \sum_k f_k^2 + \epsilon}`.

    It looks at one place alone, so what is learned of parts of images holds of whole ones. Source:
    ``karras2018progressive``.

    >>> PixelNorm()(torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)).square().mean().item()
    1.0
    """

    def forward(self, features: Tensor) -> Tensor:
        """``(N, C, H, W)`` likewise."""
        return features * torch.rsqrt(features.square().mean(dim=1, keepdim=True) + 1e-8)


class UNet(nn.Module):
    r"""A light U-Net from an image to an image.

    - ``painted``: :math:`g(x) = x + M \odot (P - x)`, a gate :math:`M = \sigma(U_1)`, open where the image
      shall change, and what is painted there, :math:`P = B(x) + \tanh U_2`, which starts as the local mean
      :math:`B(x)` (``pumarola2018ganimation``). Gate and paint are drawn at half the resolution, so neither
      can hide a pattern of pixels. The gate is almost shut at the start, and the result almost the original.
    - ``residual``: :math:`g(x) = x + \tanh U(x)`, which starts as the identity.
    - ``direct``: :math:`g(x) = \sigma(U(x))`, which must learn to draw the image first.

    Values that leave [0, 1] are clipped. Strided convolutions lead down, bilinear enlargements up, and each
    level sees what its own level going down saw (``ronneberger2015unet``). A network that paints also sees
    the local contrast :math:`x - B(x)`, and `PixelNorm` lets it treat a part of an image as it treats the
    whole; the others have group norms, which look at the whole image but at no other of the batch.

    Args:
        width: Channels at the finest level; they double twice on the way down.
        depth: How often the resolution is halved from there.
        output: How the output follows from the last layer.
    """

    def __init__(self, width: int = 12, depth: int = 3, output: Output = "painted") -> None:
        super().__init__()
        self.output = output
        painted = output == "painted"
        convolution = partial(_convolution, local=painted)
        widths = [width * min(2**level, 4) for level in range(depth + 1)]
        self.stem = convolution(2 if painted else 1, width, stride=2 if painted else 1)
        self.down = nn.ModuleList(
            nn.Sequential(convolution(narrow, wide, stride=2), convolution(wide, wide))
            for narrow, wide in pairwise(widths)
        )
        self.up = nn.ModuleList(
            convolution(wide + narrow, narrow) for narrow, wide in reversed(list(pairwise(widths)))
        )
        self.head = nn.Conv2d(width, 2 if painted else 1, 1)
        bias = cast("Tensor", self.head.bias)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(bias)
        if painted:
            nn.init.normal_(self.head.weight, std=0.05)  # paint and gate learn through each other
            nn.init.constant_(bias[1:], SHUT)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(N, 1, H, W)`` in [0, 1] from such images, of any size."""
        return self.draw(images).image

    def draw(self, images: Tensor) -> Drawn:
        """The same, with gate and paint."""
        seen = 2 * images - 1
        if self.output == "direct":
            return Drawn(torch.sigmoid(self.head(self._features(seen))))
        if self.output == "residual":
            return Drawn(bounded(images + torch.tanh(self.head(self._features(seen)))))
        around = _local_mean(images)
        drawn = self.head(self._features(torch.cat([seen, CONTRAST * (images - around)], dim=1)))
        drawn = torch.cat([torch.tanh(drawn[:, :1]), torch.sigmoid(drawn[:, 1:])], dim=1)
        paint, gate = _enlarge(drawn, images).split(1, dim=1)
        paint = bounded(around + paint)
        return Drawn(images + gate * (paint - images), gate, paint)

    def _features(self, seen: Tensor) -> Tensor:
        """``(N, width, h, w)``, at the finest level, of the image and its local contrast."""
        levels: list[Tensor] = [self.stem(seen)]
        for step in self.down:
            levels.append(step(levels[-1]))
        features: Tensor = levels.pop()
        for step in self.up:
            finer = levels.pop()
            features = step(torch.cat([_enlarge(features, finer), finer], dim=1))
        return features


class Generators(nn.Module):
    """A similar and an adversarial generator of one start, or the adversarial one alone.

    Args:
        count: 2, or 1 for the adversarial generator alone.
        width: See `UNet`.
        depth: See `UNet`.
        output: See `UNet`.
    """

    def __init__(
        self, count: Literal[1, 2] = 2, width: int = 12, depth: int = 3, output: Output = "painted"
    ) -> None:
        super().__init__()
        self.adversarial = UNet(width, depth, output)
        self.similar = copy.deepcopy(self.adversarial) if count == 2 else None

    def forward(self, images: Tensor) -> Generated:
        """Both images of each image ``(N, 1, H, W)`` in [0, 1]."""
        return self.draw(images)[0]

    def draw(self, images: Tensor) -> tuple[Generated, Tensor | None]:
        """Both images, and the adversarial one's gate, where it is painted."""
        similar = None if self.similar is None else self.similar(images)
        adversarial = self.adversarial.draw(images)
        return Generated(similar, adversarial.image), adversarial.gate


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


def _convolution(inputs: int, outputs: int, *, stride: int = 1, local: bool = False) -> nn.Sequential:
    """A 3x3 convolution, a norm of its features and a smooth rectifier."""
    groups = next(count for count in (4, 3, 2, 1) if outputs % count == 0)
    norm = PixelNorm() if local else nn.GroupNorm(groups, outputs)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=local), norm, nn.SiLU())


def _enlarge(features: Tensor, like: Tensor) -> Tensor:
    """Bilinearly to the sides of others."""
    return F.interpolate(features, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _local_mean(images: Tensor) -> Tensor:
    """The mean about each pixel, :math:`B(x)`, taken twice at half the resolution; nothing is outside."""
    means = F.avg_pool2d(images, 2, ceil_mode=True)
    for _ in range(2):
        means = F.avg_pool2d(means, AROUND, stride=1, padding=AROUND // 2, count_include_pad=False)
    return _enlarge(means, images)
