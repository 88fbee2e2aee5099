r"""Averages of a map over altered copies of the image: along a path, or under noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency.arrays import places

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["noisy_copies", "path_nodes", "straight_path"]


def path_nodes(steps: int, rule: str = "gausslegendre") -> tuple[list[float], list[float]]:
    r"""Nodes and weights of :math:`\int_0^1 g(\alpha)\,d\alpha \approx \sum_i w_i g(\alpha_i)`.

    Args:
        steps: How many nodes.
        rule: ``gausslegendre`` (exact for polynomials up to degree 2 steps - 1), ``midpoint``,
            ``trapezoid`` (both ends included) or ``right`` (i / steps, as in the source).

    Returns:
        Nodes in [0, 1] and weights that sum to 1.

    Raises:
        SaliencyError: The rule is not known, or has too few steps.

    >>> path_nodes(2, "midpoint")
    ([0.25, 0.75], [0.5, 0.5])
    """
    if steps < (2 if rule == "trapezoid" else 1):
        raise SaliencyError(
            "too few steps along the path", expected="1 or more (trapezoid: 2)", got=str(steps)
        )
    if rule == "gausslegendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()
    if rule == "midpoint":
        return [(i + 0.5) / steps for i in range(steps)], [1 / steps] * steps
    if rule == "right":
        return [(i + 1) / steps for i in range(steps)], [1 / steps] * steps
    if rule == "trapezoid":
        inner = [1 / (steps - 1)] * (steps - 2)
        return [i / (steps - 1) for i in range(steps)], [0.5 / (steps - 1), *inner, 0.5 / (steps - 1)]
    raise SaliencyError(
        "unknown integration rule", expected="gausslegendre, midpoint, trapezoid or right", got=repr(rule)
    )


def straight_path(images: Tensor, hidden: Tensor, nodes: list[float]) -> Iterator[Tensor]:
    r"""Points on the straight line :math:`b + \alpha (x - b)`, a batch a node."""
    for node in nodes:
        yield torch.lerp(hidden, images, node)


def noisy_copies(images: Tensor, spread: float, count: int, seed: int) -> Iterator[Tensor]:
    r"""Copies :math:`x + \varepsilon` with normal noise of standard deviation spread times range.

    Each image draws from its own generator, so that a batch gives the same copies as its images one by one.

    Args:
        images: ``(N, C, H, W)``.
        spread: Noise level as a fraction of each image's range (maximum minus minimum).
        count: How many copies.
        seed: Where each image's generator starts.

    Yields:
        ``(N, C, H, W)``. Source: smilkov2017smoothgrad, section 3.
    """
    sources = [torch.Generator().manual_seed(seed) for _ in images]
    over = places(images, 1)
    sigma = spread * (images.amax(dim=over, keepdim=True) - images.amin(dim=over, keepdim=True))
    for _ in range(count):
        noise = torch.stack([torch.randn(images.shape[1:], generator=source) for source in sources])
        yield images + sigma * noise.to(images)
