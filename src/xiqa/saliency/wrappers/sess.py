"""SESS: maps of windows at several scales, fused by how much each window speaks for the class."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xiqa.errors import SaliencyError
from xiqa.saliency.combine import enlarge, stretch
from xiqa.saliency.perturbation.occlusion import starts
from xiqa.saliency.probe import TorchProbe, class_score
from xiqa.saliency.registry import wrapper

if TYPE_CHECKING:
    from xiqa.saliency.session import Inner

__all__ = ["sess", "window_corners"]


def window_corners(
    size: tuple[int, int], scales: tuple[float, ...], stride: float
) -> list[tuple[tuple[int, int], int, int]]:
    """The windows: size of the enlarged image, and the window's top and left in it.

    >>> window_corners((4, 4), (1.0, 1.5), 1.0)
    [((4, 4), 0, 0), ((6, 6), 0, 0), ((6, 6), 0, 2), ((6, 6), 2, 0), ((6, 6), 2, 2)]
    """
    corners = []
    for scale in scales:
        if scale < 1:
            raise SaliencyError(
                "a window must fit into the scaled image", expected="scales >= 1", got=str(scale)
            )
        large = (round(size[0] * scale), round(size[1] * scale))
        steps = [max(1, round(stride * side)) for side in size]
        corners += [
            (large, top, left)
            for top in starts(large[0], size[0], steps[0])
            for left in starts(large[1], size[1], steps[1])
        ]
    return corners


def _window(images: Tensor, corner: tuple[tuple[int, int], int, int]) -> Tensor:
    large, top, left = corner
    rows, columns = images.shape[-2:]
    if large != (rows, columns):
        images = F.interpolate(images, large, mode="bilinear", align_corners=False)
    return images[..., top : top + rows, left : left + columns]


def _score(inner: Inner, images: Tensor) -> Tensor:
    """The class's probability in each image, ``(N,)``."""
    probe = TorchProbe(inner.network) if isinstance(inner.network, nn.Module) else inner.network
    output = "sigmoid" if inner.multilabel else "probability"
    return class_score(probe(images), inner.target, output=output)


@wrapper("sess", cite="tursun2022sess")
def sess(
    inner: Inner,
    images: Tensor,
    *,
    scales: tuple[float, ...] = (1.0, 1.5, 2.0),
    stride: float = 0.5,
    drop: float = 0.0,
    fusion: str = "mean",
    theta: float = 0.0,
) -> Tensor:
    r"""SESS: maps of windows of the enlarged image, stretched, weighted by the class's probability, fused.

    .. math:: S(u) = \frac{\sum_w [v_w(u) > \theta]\, v_w(u)}{\sum_w [v_w(u) > \theta]},
       \qquad v_w = \frac{p_w}{\max_{w'} p_{w'}}\, s(S_w)

    A window is as large as the image, so an object in it looks ``scale`` times as large; s stretches its map
    to [0, 1]. Windows of the lowest probability can be left out before their maps are made. Deviations from
    the source: scales are factors and not sides in pixels, the last window of a row is flush with the border,
    and the result is not blurred (wrap it in ``smoothed``).

    Args:
        inner: The method.
        images: ``(N, C, H, W)``.
        scales: Factors by which the image is enlarged, at least 1.
        stride: Steps of the windows, as a fraction of their size.
        drop: Fraction of the windows to leave out, those of the lowest probability.
        fusion: ``mean``: over the windows above theta at a place (above); or ``max``.
        theta: From which value a window counts at a place.

    Returns:
        ``(N, H, W)`` in [0, 1]. Source: tursun2022sess, section 3, and its authors' code.

    Raises:
        SaliencyError: A scale below 1, or an unknown fusion.
    """
    if fusion not in ("mean", "max"):
        raise SaliencyError("unknown fusion", expected="mean or max", got=repr(fusion))
    if not 0 <= drop < 1:
        raise SaliencyError("no window would be left", expected="0 <= drop < 1", got=str(drop))
    size = (int(images.shape[-2]), int(images.shape[-1]))
    scales = scales if isinstance(scales, tuple) else (scales,)
    corners = window_corners(size, scales, stride)
    scores = torch.stack([_score(inner, _window(images, corner)) for corner in corners])  # (windows, N)
    rank = scores.argsort(dim=0, stable=True).argsort(dim=0)
    kept = rank >= int(drop * len(corners))
    weights = scores / scores.amax(dim=0).clamp_min(torch.finfo(scores.dtype).tiny)

    total, count, peak = (images.new_zeros(len(images), *size) for _ in range(3))
    for corner, keep, weight in zip(corners, kept, weights, strict=True):
        chosen = keep.nonzero()[:, 0]
        if not len(chosen):
            continue
        part = replace(inner, target=inner.target[chosen])
        value = stretch(enlarge(part(_window(images[chosen], corner)), size))
        value = _placed(value * weight[chosen, None, None], corner)
        value = torch.where(value > theta, value, torch.zeros_like(value))
        total[chosen] += value
        count[chosen] += (value > theta).to(value)
        peak[chosen] = torch.maximum(peak[chosen], value)
    return peak if fusion == "max" else total / count.clamp_min(1)


def _placed(maps: Tensor, corner: tuple[tuple[int, int], int, int]) -> Tensor:
    """Maps ``(N, H, W)`` of one window, in their place in the image, whose grid they have."""
    large, top, left = corner
    rows, columns = int(maps.shape[1]), int(maps.shape[2])
    canvas = maps.new_zeros(len(maps), *large)
    canvas[:, top : top + rows, left : left + columns] = maps
    return enlarge(canvas, (rows, columns))
