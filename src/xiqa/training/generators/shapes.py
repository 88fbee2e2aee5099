r"""Shapes laid over images, and how a generator learns to take them away before it meets the classifier."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from xiqa.models.explainers.generators import Drawn

__all__ = ["covering", "erasing_loss", "lay_shapes"]

MOST = 5  # shapes an image
FULL = 0.04  # change of grey value from which a pixel counts as covered whole


def lay_shapes(images: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Lay random discs, rings and long curved lines over images, up to five on each.

    They know nothing of the objects that a classifier was trained on: place, size (radii of 2 to 200
    pixels), stroke, sharpness of the edge and grey value are drawn at random; most are brighter than what
    lies behind them.

    Args:
        images: ``(N, 1, H, W)`` in [0, 1].
        draws: Decides which.

    Returns:
        The images with shapes, in [0, 1], and how far each pixel is covered, likewise.
    """
    count, _, height, width = images.shape

    def between(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(count, 1, 1, 1, generator=draws)).to(images)

    y = torch.arange(height).to(images)[:, None]
    x = torch.arange(width).to(images)
    laid, covered = images, torch.zeros_like(images)
    for _ in range(MOST):
        through_y, through_x, turn = between(0, height), between(0, width), between(0, 2 * math.pi)
        line, ring = between(0, 1) < 0.4, between(0, 1) < 0.3
        small, large = between(math.log(2), math.log(12)).exp(), between(math.log(20), math.log(200)).exp()
        radius, flat = torch.where(line, large, small), torch.where(line, 1.0, between(0.5, 1))
        # a line is a part of a circle that leads through the place
        down = y - through_y - torch.where(line, large, 0.0) * turn.sin()
        right = x - through_x - torch.where(line, large, 0.0) * turn.cos()
        along, across = right * turn.cos() + down * turn.sin(), down * turn.cos() - right * turn.sin()
        inside = flat * (radius - (along**2 + (across / flat) ** 2).sqrt())
        inside = torch.where(line | ring, between(0.6, 2.5) - inside.abs(), inside)
        sign = torch.where(between(0, 1) < 0.85, 1.0, -1.0)
        there = (between(0, 1) < 0.6).to(images)
        cover = there * torch.sigmoid(inside / between(0.3, 1.3))
        laid = laid + sign * between(math.log(0.03), math.log(0.4)).exp() * cover
        covered = torch.maximum(covered, cover)
    return laid.clamp(0, 1), covered


def covering(laid: Tensor, radiographs: Tensor) -> Tensor:
    r"""How far what was put into images covers each pixel, from 0 to 1: :math:`\min(1, |l - x| / 0.04)`.

    >>> covering(torch.tensor([0.5, 0.52, 0.9]), torch.full((3,), 0.5))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return ((laid - radiographs).abs() / FULL).clamp(max=1)


def erasing_loss(radiographs: Tensor, drawn: Drawn, covered: Tensor) -> Tensor:
    r"""How badly a painting generator takes shapes away.

    .. math:: L_0 = -\overline{c \log M + (1 - c) \log(1 - M)} +
       2\,\frac{\sum_u c_u\,\lvert P_u - x_u \rvert}{1 + \sum_u c_u} + 2\,\overline{\lvert g - x \rvert}

    The paint is judged only where a shape lies, so that elsewhere too it shows what could lie behind and is
    no copy of the image. Without gate and paint only the last part is left.

    Args:
        radiographs: :math:`x`, ``(N, 1, H, W)``, without the shapes.
        drawn: :math:`g`, :math:`M` and :math:`P`, of the images with shapes.
        covered: :math:`c`, how far these lie over each pixel.
    """
    loss = 2 * (drawn.image - radiographs).abs().mean()
    if drawn.gate is None or drawn.paint is None:
        return loss
    gate = F.binary_cross_entropy(drawn.gate.clamp(1e-6, 1 - 1e-6), covered)
    paint = (covered * (drawn.paint - radiographs).abs()).sum() / (1 + covered.sum())
    return loss + gate + 2 * paint
