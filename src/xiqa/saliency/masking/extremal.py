r"""Extremal perturbations: of all smooth masks of an area, the one that keeps or takes most of the score."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency.perturbation.copies import baseline as hidden_image
from xiqa.saliency.perturbation.copies import score_logits
from xiqa.saliency.registry import Needs, probe_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xiqa.saliency.perturbation.copies import Score
    from xiqa.saliency.probe import ProbeRecord

__all__ = ["SmoothMask", "area_price", "extremal", "extremal_masks", "masked_scores"]

COLDNESS = 20.0
WARM_UP = 0.1  # of the iterations: the score alone breaks the ties of a flat start
WEIGHT, GROWTH = 300.0, 16.0  # of the area's price: at first, and how much more in the end
PLACES = 2  # a cell's side in the mask's pixels


class SmoothMask:
    r"""From a grid of numbers to a mask whose shapes cannot be smaller than a disc.

    .. math:: m(u) = \operatorname{smax}_v\, k(\lVert u - v \rVert / \sigma)\, \bar m(v), \qquad
       k(z) = e^{-2 \max(0, z - 1/2)^2}, \qquad
       \operatorname{smax}_v a_v = \frac{\sum_v a_v e^{20 a_v}}{\sum_v e^{20 a_v}}

    a convolution with the sum replaced by a soft maximum, so that the mask stays flat inside and steep at its
    rim. Only cells with :math:`k \ge 10^{-3}` count.

    Args:
        size: (rows, columns) of the image; only the aspect matters.
        cells: Cells on its longer side.
        smooth: :math:`\sigma` in cells.

    Raises:
        SaliencyError: No cell, or no width.
    """

    def __init__(self, size: tuple[int, int], cells: int, smooth: float) -> None:
        if cells < 2 or smooth <= 0:
            raise SaliencyError(
                "no such mask", expected="cells >= 2, smooth > 0", got=f"cells={cells}, smooth={smooth}"
            )
        longer = max(size)
        rows, columns = (max(1, round(cells * side / longer)) for side in size)
        self.grid, self.shape = (rows, columns), (PLACES * rows, PLACES * columns)
        self.weights, self.index, self.bias = _near(self.grid, self.shape, smooth)

    def __call__(self, numbers: Tensor) -> Tensor:
        """Masks ``(A, h, w)`` in [0, 1] of numbers ``(A, rows, columns)`` in [0, 1]."""
        values = numbers.flatten(1)[:, self.index] * self.weights.to(numbers)
        pooled = (values * (COLDNESS * values + self.bias.to(numbers)).softmax(dim=-1)).sum(dim=-1)
        return pooled.reshape(-1, *self.shape)


@lru_cache(maxsize=8)
def _near(grid: tuple[int, int], shape: tuple[int, int], smooth: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of each place the weights and indices of the cells near it, and a bias against those that are not."""
    with torch.inference_mode(False):  # kept for callers in any mode
        every = _kernel(grid, shape, smooth)
        weights, index = every.topk(int((every >= 1e-3).sum(dim=1).max()), dim=1)
        # near the border fewer cells are near
        return weights, index, torch.zeros_like(weights).masked_fill(weights < 1e-3, -torch.inf)


def _kernel(grid: tuple[int, int], shape: tuple[int, int], smooth: float) -> Tensor:
    """The kernel between every place of the mask and every cell, ``(h w, rows columns)``."""
    squares = []
    for cells, places in zip(grid, shape, strict=True):
        centres = (torch.arange(places, dtype=torch.float64) + 0.5) * cells / places - 0.5
        squares.append((centres[:, None] - torch.arange(cells, dtype=torch.float64)).square())
    distance = (squares[0][:, None, :, None] + squares[1][None, :, None, :]).sqrt() / smooth
    return torch.exp(-2 * (distance - 0.5).clamp(min=0).square()).flatten(2).flatten(0, 1)


def area_price(masks: Tensor, areas: Tensor) -> Tensor:
    r"""How far a mask is from covering an area fully and the rest not at all.

    .. math:: R_a(m) = \tfrac{1}{|m|} \lVert \operatorname{vecsort}(m) - r_a \rVert^2

    with :math:`r_a` of a share 1 - a of zeros, then ones.

    Args:
        masks: ``(A, h, w)``.
        areas: ``(A,)`` in [0, 1].

    Returns:
        ``(A,)``. Source: fong2019extremal, eq. 3 (there the sum, not the mean).
    """
    ranked = masks.flatten(1).sort(dim=1).values
    count = ranked.shape[1]
    zeros = count - (areas * count).round()
    wanted = (torch.arange(count, device=masks.device) >= zeros[:, None]).to(ranked)
    return (ranked - wanted).square().mean(dim=1)


def masked_scores(score: Score, image: Tensor, hidden: Tensor, masks: Tensor) -> Tensor:
    """Scores ``(A,)`` of an image seen through masks ``(A, h, w)``, which are enlarged bilinearly."""
    size = (int(image.shape[-2]), int(image.shape[-1]))
    large = F.interpolate(masks[:, None], size, mode="bilinear", align_corners=False)
    return score(torch.lerp(hidden[None], image[None], large.to(image)))


def extremal_masks(
    score: Score,
    image: Tensor,
    hidden: Tensor,
    areas: Sequence[float],
    *,
    game: str = "preserve",
    iterations: int = 200,
    rate: float = 0.05,
    cells: int = 28,
    smooth: float = 2.0,
) -> Tensor:
    r"""Learn the mask of each area through which the image scores most.

    .. math:: m_a = \arg\max_m\ \frac{f(m \otimes x)}{|f(x) - f(b)|} - \lambda R_a(m), \qquad
       m \otimes x = m\, x + (1 - m)\, b

    The areas are learned together, one copy of the image each. Deviations from the source: the score is told
    in units of its own range, so that one weight suits all networks; Adam instead of gradient descent with
    momentum; one blurred image instead of a pyramid; a start at 1/2 with the area's price only after a tenth
    of the steps, so that the score and not the order of the pixels breaks the ties; no jitter, so that there
    is nothing random.

    Args:
        score: The class's score of copies ``(A, C, H, W)``, differentiable.
        image: ``(C, H, W)``.
        hidden: ``(C, H, W)``, what shows where a mask is 0.
        areas: Shares of the image, in (0, 1).
        game: ``preserve``: the mask shows what keeps the score; ``delete``: what the score falls without,
            :math:`-f((1 - m) \otimes x)`; ``dual``: both, their difference.
        iterations: Steps (the source: 800).
        rate: Learning rate.
        cells: See `SmoothMask`.
        smooth: See `SmoothMask`.

    Returns:
        Masks ``(A, h, w)`` in [0, 1], 1 in the area; constant where the score does not depend on the mask.

    Raises:
        SaliencyError: An unknown game, or an area that is none.
    """
    if game not in ("preserve", "delete", "dual"):
        raise SaliencyError("unknown game", expected="preserve, delete or dual", got=repr(game))
    if not areas or not all(0 < area < 1 for area in areas):
        raise SaliencyError("no such areas", expected="shares between 0 and 1", got=str(tuple(areas)))
    shape = SmoothMask((int(image.shape[-2]), int(image.shape[-1])), cells, smooth)
    wanted = torch.tensor(tuple(areas), dtype=image.dtype, device=image.device)
    with torch.no_grad():
        whole, nothing = score(torch.stack([image, hidden])).tolist()
    unit = abs(whole - nothing) or 1.0
    numbers = image.new_full((len(areas), *shape.grid), 0.5).requires_grad_()
    optimiser = torch.optim.Adam([numbers], lr=rate)
    warm = max(1, round(WARM_UP * iterations))
    for step in range(iterations):
        masks = shape(numbers)
        reward = torch.zeros((), dtype=image.dtype, device=image.device)
        if game != "delete":
            reward = reward + masked_scores(score, image, hidden, masks).sum()
        if game != "preserve":
            reward = reward - masked_scores(score, image, hidden, 1 - masks).sum()
        loss = -reward / unit
        if step >= warm:
            if step == warm and _flat(numbers):
                break
            growth = GROWTH ** ((step - warm) / max(1, iterations - warm))
            loss = loss + WEIGHT * growth * area_price(masks, wanted).sum()
        # only the numbers' gradient: the network's parameters are not touched
        (numbers.grad,) = torch.autograd.grad(loss, [numbers])
        optimiser.step()
        numbers.data.clamp_(0, 1)
    return shape(numbers.detach())


def _flat(numbers: Tensor) -> bool:
    """Whether the score has moved no number away from the others."""
    return float((numbers.detach().amax(dim=(1, 2)) - numbers.detach().amin(dim=(1, 2))).max()) < 1e-6


@probe_method("extremal", cite="fong2019extremal", needs=Needs.INPUT | Needs.NETWORK)
def extremal(
    sample: ProbeRecord,
    *,
    areas: float | tuple[float, ...] = (0.05, 0.1, 0.2),
    game: str = "preserve",
    iterations: int = 200,
    rate: float = 0.05,
    cells: int = 28,
    smooth: float = 2.0,
    baseline: str | float = "blur",
    sigma: float = 10.0,
    output: str = "logit",
) -> Tensor:
    r"""Extremal perturbations: the mean of the smooth masks of given areas that keep most of the score.

    .. math:: S = \frac{1}{A} \sum_a m_a, \qquad
       m_a = \arg\max_m\ f(m \otimes x) - \lambda \lVert \operatorname{vecsort}(m) - r_a \rVert^2

    Where several areas agree the map is highest. `xiqa area-curve` draws the score against the area.

    **Cost**: ``iterations`` times as many forward and backward passes as there are areas (twice that for the
    dual game). **Not for** many images, nor for objects smaller than the mask's disc, whose radius is about
    the ``smooth``-th part of ``cells``: raise ``cells`` for them.

    Args:
        sample: The image and the network.
        areas: Shares of the image, one or several.
        game: ``preserve``, ``delete`` or ``dual``; see `extremal_masks`.
        iterations: Steps (the source: 800).
        rate: Learning rate.
        cells: Cells of the mask on the image's longer side.
        smooth: Width of a shape in cells (the source: 3 of 32).
        baseline: What shows where a mask is 0; see `xiqa.saliency.perturbation.copies.baseline`.
        sigma: Width of that blur in pixels.
        output: ``logit`` (the source's) or ``probability``.

    Returns:
        ``(h, w)`` in [0, 1], two pixels a cell. Source: fong2019extremal; see `extremal_masks` for the
        deviations.
    """
    network = sample.network
    assert network is not None
    with torch.enable_grad():
        masks = extremal_masks(
            lambda copies: score_logits(sample, network(copies), output),
            sample.image,
            hidden_image(sample.image, baseline, sigma=sigma),
            areas if isinstance(areas, tuple) else (areas,),
            game=game,
            iterations=iterations,
            rate=rate,
            cells=cells,
            smooth=smooth,
        )
    return masks.mean(dim=0)
