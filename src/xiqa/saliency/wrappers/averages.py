"""Wrappers of any method: smoothing its map, or averaging it over a path, over noise, over transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency import maps as map_steps
from xiqa.saliency.combine import enlarge, stretch
from xiqa.saliency.gradients.paths import noisy_copies, path_nodes, straight_path
from xiqa.saliency.perturbation.copies import baseline as hidden_image
from xiqa.saliency.registry import wrapper
from xiqa.saliency.wrappers.transforms import GEOMETRIC, INTENSITY, Transform, transform

if TYPE_CHECKING:
    from xiqa.saliency.session import Inner

__all__ = ["evet", "integrated", "noisy", "smoothed"]


@wrapper("smoothed", cite="ozer2021explainable")
def smoothed(inner: Inner, images: Tensor, *, sigma: float = 1.0, fraction: float | None = None) -> Tensor:
    """A Gaussian blur of the map, at the image's resolution; see `xiqa.saliency.maps.smooth`.

    Args:
        inner: The method.
        images: ``(N, C, H, W)``.
        sigma: Width in pixels. The window reaches 5 sigma to each side.
        fraction: Width as a fraction of the image's shorter side instead, so that images of all sizes are
            smoothed alike.

    Returns:
        ``(N, H, W)``.
    """
    size = (int(images.shape[-2]), int(images.shape[-1]))
    width = sigma if fraction is None else fraction * min(size)
    window = 2 * max(1, round(5 * width)) + 1
    raw = inner(images).cpu()
    steps = [map_steps.smooth(map_steps.upsample(values.numpy(), size), width, window) for values in raw]
    return torch.stack([torch.as_tensor(step) for step in steps]).to(images)


@wrapper("integrated", cite="sundararajan2017axiomatic")
def integrated(
    inner: Inner,
    images: Tensor,
    *,
    steps: int = 16,
    path: str = "midpoint",
    baseline: str | float = 0.0,
) -> Tensor:
    r"""The mean map along the straight way from a baseline to the image.

    .. math:: \bar S(x) = \int_0^1 S\big(b + \alpha (x - b)\big)\, d\alpha

    Args:
        inner: The method S.
        images: ``(N, C, H, W)``.
        steps: Maps along the path.
        path: Rule of the integration; see `xiqa.saliency.gradients.paths.path_nodes`.
        baseline: Where the path begins; see `xiqa.saliency.perturbation.copies.baseline`.

    Returns:
        ``(N, h, w)``, as the method gives. Source: sundararajan2017axiomatic, for maps instead of gradients.
    """
    nodes, weights = path_nodes(steps, path)
    copies = straight_path(images, hidden_image(images, baseline), nodes)
    return torch.stack([weight * inner(copy) for weight, copy in zip(weights, copies, strict=True)]).sum(
        dim=0
    )


@wrapper("noisy", cite="smilkov2017smoothgrad")
def noisy(inner: Inner, images: Tensor, *, samples: int = 16, spread: float = 0.15, seed: int = 0) -> Tensor:
    r"""SmoothGrad around any method: the mean map over noisy copies of the image.

    .. math:: \bar S(x) = \frac{1}{n} \sum_{i=1}^n S(x + \varepsilon_i),
       \qquad \varepsilon_i \sim N(0, \sigma^2)

    Args:
        inner: The method S.
        images: ``(N, C, H, W)``.
        samples: Noisy copies, n.
        spread: :math:`\sigma` as a fraction of each image's range.
        seed: Each image's noise starts here.

    Returns:
        ``(N, h, w)``, as the method gives. Source: smilkov2017smoothgrad, section 3.
    """
    return torch.stack([inner(copy) for copy in noisy_copies(images, spread, samples, seed)]).mean(dim=0)


@wrapper("evet", cite="oh2021evet")
def evet(
    inner: Inner,
    images: Tensor,
    *,
    transforms: str | tuple[str, ...] = "all",
    stretched: bool = False,
) -> Tensor:
    r"""EVET: the mean map over transformed images, each map put back to where its content came from.

    .. math:: \bar S(x) = \frac{\sum_t t^{-1}(S(t(x)))}{\sum_t t^{-1}(1)}

    The image itself counts as one of the transforms. Where a transform moved a part of the image out of the
    frame nothing is known, and it does not count there. Besides the geometric transforms of the source there
    are intensity transforms (contrast, gamma, equalisation, filtering), which leave places alone.

    Args:
        inner: The method S.
        images: ``(N, C, H, W)``.
        transforms: ``geometric``, ``intensity``, ``all``, or names; see `xiqa.saliency.wrappers.transforms`.
        stretched: Stretch each map to [0, 1] first, so that all transforms weigh the same.

    Returns:
        ``(N, H, W)``. Source: oh2021evet; the intensity transforms are an extension.
    """
    size = (int(images.shape[-2]), int(images.shape[-1]))
    total, known = torch.zeros_like(images[:, :1]), torch.zeros_like(images[:, :1])
    for change in (None, *_chosen(transforms)):
        values = enlarge(inner(images if change is None else change.apply(images)), size)[:, None]
        values = stretch(values[:, 0])[:, None] if stretched else values
        whole = torch.ones_like(values)
        total += values if change is None else change.undo(values)
        known += whole if change is None else change.undo(whole)
    return (total / known)[:, 0]


def _chosen(transforms: str | tuple[str, ...]) -> list[Transform]:
    groups = {"geometric": GEOMETRIC, "intensity": INTENSITY, "all": {**GEOMETRIC, **INTENSITY}}
    if isinstance(transforms, str) and transforms in groups:
        return list(groups[transforms].values())
    names = (transforms,) if isinstance(transforms, str) else transforms
    if not names:
        raise SaliencyError("no transforms", expected=", ".join(groups))
    return [transform(name) for name in names]
