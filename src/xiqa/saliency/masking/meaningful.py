r"""Meaningful perturbation: the smallest, smoothest mask whose blur makes the class disappear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from xiqa.saliency.perturbation.copies import baseline as hidden_image
from xiqa.saliency.perturbation.copies import generator, score_logits
from xiqa.saliency.registry import Needs, probe_method

if TYPE_CHECKING:
    from collections.abc import Callable

    from xiqa.saliency.session import ProbeRecord

__all__ = ["deletion_mask", "mask_loss", "meaningfulperturbation"]


def mask_loss(mask: Tensor, *, area: float, variation: float, power: float) -> Tensor:
    r"""The price of a mask: how much it hides, and how rough it is.

    .. math:: \lambda_1 \lVert 1 - m \rVert_1 + \lambda_2 \sum_u \lVert \nabla m(u) \rVert_\beta^\beta

    Args:
        mask: ``(N, 1, g, g)`` in [0, 1]; 1 shows, 0 hides.
        area: :math:`\lambda_1`.
        variation: :math:`\lambda_2`.
        power: :math:`\beta`.

    Returns:
        ``(N,)``. Source: fong2017meaningful, eq. 3.
    """
    down = mask.diff(dim=-2).abs().pow(power).sum(dim=(1, 2, 3))
    right = mask.diff(dim=-1).abs().pow(power).sum(dim=(1, 2, 3))
    return area * (1 - mask).abs().sum(dim=(1, 2, 3)) + variation * (down + right)


def deletion_mask(
    score: Callable[[Tensor], Tensor],
    image: Tensor,
    hidden: Tensor,
    *,
    grid: int,
    iterations: int,
    rate: float,
    area: float,
    variation: float,
    power: float,
    jitter: int,
    noise: float,
    seed: int,
) -> Tensor:
    r"""Learn the mask that deletes the class from one image.

    .. math:: \min_m\ \lambda_1 \lVert 1 - m\rVert_1 + \lambda_2 \sum_u \lVert\nabla m(u)\rVert_\beta^\beta
       + E_\tau\big[f_c(\Phi(x(\cdot - \tau); m))\big],
       \quad \Phi(x; m) = \mathrm{up}(m)\, x + (1 - \mathrm{up}(m))\, b

    by Adam, clipped to [0, 1] after each step. Deviations from the source: the mask is enlarged bilinearly
    and not blurred again; it starts at 1/2 everywhere instead of at the smallest circle that removes the
    class, which needs no search and prefers no place.

    Args:
        score: The class's probability of copies ``(1, C, H, W)``, differentiable.
        image: ``(C, H, W)``.
        hidden: ``(C, H, W)``, what shows where the mask is 0 (usually a blur).
        grid: Side of the mask.
        iterations: Steps of Adam.
        rate: Its learning rate.
        area: :math:`\lambda_1`.
        variation: :math:`\lambda_2`.
        power: :math:`\beta`.
        jitter: The image shifts by up to this many pixels at each step (circularly).
        noise: Standard deviation of the noise added to the enlarged mask, against artefacts.
        seed: Start of the random numbers.

    Returns:
        ``(g, g)``, :math:`1 - m`: high where hiding matters. Source: fong2017meaningful, eq. 3 to 5.
    """
    source = generator(seed)
    size = (int(image.shape[-2]), int(image.shape[-1]))
    mask = image.new_full((1, 1, grid, grid), 0.5).requires_grad_()
    optimiser = torch.optim.Adam([mask], lr=rate)
    for _ in range(iterations):
        shift = torch.randint(0, jitter + 1, (2,), generator=source).tolist()
        enlarged = F.interpolate(mask, size, mode="bilinear", align_corners=False)
        enlarged = enlarged + noise * torch.randn(1, 1, *size, generator=source).to(image)
        copy = torch.lerp(hidden[None], image[None], enlarged)
        price = mask_loss(mask, area=area, variation=variation, power=power)
        loss = price.sum() + score(copy.roll(shift, dims=(-2, -1))).sum()
        # only the mask's gradient: the network's parameters are not touched
        (mask.grad,) = torch.autograd.grad(loss, [mask])
        optimiser.step()
        mask.data.clamp_(0, 1)
    return 1 - mask.detach()[0, 0]


@probe_method("meaningfulperturbation", cite="fong2017meaningful", needs=Needs.INPUT | Needs.NETWORK)
def meaningfulperturbation(
    sample: ProbeRecord,
    *,
    grid: int = 28,
    iterations: int = 100,
    rate: float = 0.1,
    area: float = 1e-4,
    variation: float = 1e-2,
    power: float = 3.0,
    jitter: int = 4,
    noise: float = 0.03,
    baseline: str | float = "blur",
    sigma: float = 10.0,
    seed: int = 0,
) -> Tensor:
    r"""Meaningful perturbation: the smallest, smoothest mask whose blur makes the class disappear.

    .. math:: S = 1 - \arg\min_m\ \lambda_1 \lVert 1 - m\rVert_1
       + \lambda_2 \sum_u \lVert\nabla m(u)\rVert_\beta^\beta + E_\tau\big[p_c(\Phi(x(\cdot - \tau); m))\big]

    It needs the gradient at the mask, so it runs on torch networks alone; see `deletion_mask`.

    Args:
        sample: The image and the network.
        grid: Side of the mask.
        iterations: Steps of Adam (the source: 300).
        rate: Its learning rate.
        area: :math:`\lambda_1`.
        variation: :math:`\lambda_2`.
        power: :math:`\beta`.
        jitter: The image shifts by up to this many pixels at each step.
        noise: Standard deviation of the noise added to the enlarged mask.
        baseline: What shows where the mask is 0; see `xiqa.saliency.perturbation.copies.baseline`.
        sigma: Width of that blur in pixels.
        seed: The image's random numbers start here.

    Returns:
        ``(g, g)`` in [0, 1], high where hiding matters. Source: fong2017meaningful, eq. 3 to 5.
    """
    network = sample.network
    assert network is not None
    with torch.enable_grad():
        return deletion_mask(
            lambda copies: score_logits(sample, network(copies), "probability"),
            sample.image,
            hidden_image(sample.image, baseline, sigma=sigma),
            grid=grid,
            iterations=iterations,
            rate=rate,
            area=area,
            variation=variation,
            power=power,
            jitter=jitter,
            noise=noise,
            seed=seed,
        )
