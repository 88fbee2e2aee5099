"""How much a map changes when the image hardly does."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from xiqa.metrics.arguments import Count, Explain, Picture, Positive, Seed
from xiqa.metrics.registry import metric
from xiqa.saliency.perturbation.copies import chunks

__all__ = ["local_lipschitz", "max_sensitivity"]


@metric(
    "max_sensitivity",
    "robustness",
    higher_is_better=False,
    bounds=(0, inf),
    cite="yeh2019infidelity",
    cases={"constant": "0, for it never changes; NaN for a map of zeros"},
)
def max_sensitivity(
    explain: Explain,
    image: Picture,
    *,
    radius: Positive = 0.02,
    samples: Count = 10,
    relative: bool = True,
    seed: Seed = 0,
) -> float:
    r"""The largest change of the map among images with a little noise.

    .. math:: \max_{\lVert \delta \rVert_\infty \le r}
       \frac{\lVert \Phi(x + \delta) - \Phi(x) \rVert_2}{\lVert \Phi(x) \rVert_2}

    over ``samples`` uniform draws of :math:`\delta`.

    **Pitfalls.** A sample's maximum grows with the number of samples: compare at one number. A constant map
    never changes. ``explain`` must keep one class: with the predicted class the question is another.

    **Variants.** ``relative=False`` leaves the norm of the map out, as the source writes it.

    Args:
        explain: Gives maps ``(N, h, w)`` of images ``(N, C, H, W)``.
        image: ``(C, H, W)`` as the network takes it.
        radius: :math:`r`, in units of the network's input.
        samples: Draws.
        relative: Whether to divide by the map's norm.
        seed: Seed of the noise.

    Returns:
        Largest change; NaN when a map is not finite, or zero and the change is relative.
    """
    first, changes, _ = _neighbours(explain, image, radius, samples, seed)
    largest = changes.max() / _lengths(first[None])[0] if relative else changes.max()
    return float(largest)


@metric(
    "local_lipschitz",
    "robustness",
    higher_is_better=False,
    bounds=(0, inf),
    cite="alvarezmelis2018robustness",
    cases={"constant": 0.0},
)
def local_lipschitz(
    explain: Explain, image: Picture, *, radius: Positive = 0.02, samples: Count = 10, seed: Seed = 0
) -> float:
    r"""The largest change of the map in proportion to the change of the image.

    .. math:: \max_{x' \in B_r(x)} \frac{\lVert \Phi(x) - \Phi(x') \rVert_2}{\lVert x - x' \rVert_2}

    over ``samples`` uniform draws of :math:`x'` in the box of radius :math:`r`.

    **Pitfalls.** It has the map's scale: normalise maps of different methods alike first. A sample gives a
    lower bound of the true constant.

    **Variants.** The source also searches the maximum by optimisation; this is its sampled form.

    Args:
        explain: Gives maps ``(N, h, w)`` of images ``(N, C, H, W)``.
        image: ``(C, H, W)`` as the network takes it.
        radius: :math:`r`, in units of the network's input.
        samples: Draws.
        seed: Seed of the draws.

    Returns:
        Largest ratio; NaN when a map is not finite.
    """
    _, changes, distances = _neighbours(explain, image, radius, samples, seed)
    return float((changes / distances).max())


def _neighbours(
    explain: Explain, image: Tensor, radius: float, samples: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The image's map, and for each neighbour how far its map and itself are from it."""
    noise = torch.Generator(image.device).manual_seed(seed)
    draws = torch.rand((samples, *image.shape), generator=noise, device=image.device, dtype=image.dtype)
    copies = image + radius * (2 * draws - 1)
    first = explain(image[None]).detach()[0].double()
    parts = chunks(samples, (int(image.shape[-2]), int(image.shape[-1])))
    maps = torch.cat([explain(copies[part]).detach() for part in parts]).double()
    return first, _lengths(maps - first), _lengths((copies - image).double())


def _lengths(rows: Tensor) -> Tensor:
    """The L2 norm of each row, by its largest entry first, so that no square overflows or vanishes."""
    flat = rows.flatten(1)
    largest = flat.abs().amax(dim=1, keepdim=True)
    scale = torch.where(largest > 0, largest, 1.0)
    lengths: Tensor = (flat / scale).norm(dim=1) * scale[:, 0]
    return lengths
