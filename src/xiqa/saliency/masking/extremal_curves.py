"""The score against the area, for extremal masks and for meaningful perturbation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from xiqa.saliency.masking.extremal import extremal_masks, masked_scores
from xiqa.saliency.masking.meaningful import deletion_mask
from xiqa.saliency.perturbation.copies import baseline
from xiqa.saliency.state import evaluating

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xiqa.saliency.perturbation.copies import Score
    from xiqa.types import FloatArray

__all__ = ["GAMES", "MaskCurve", "extremal_curve", "meaningful_curve", "plain_scores", "smallest_area"]

GAMES = {"preserve": "extremal mask shown", "delete": "extremal mask hidden"}

Read = Callable[["Tensor"], "Tensor"]  # logits (M, K) to what the curve tells, (M,)


@dataclass(frozen=True, eq=False)
class MaskCurve:
    """The scores that masks of growing area leave.

    Attributes:
        name: What was asked.
        areas: Mean of each mask, a share of the image.
        scores: What is left of the class with the mask shown or hidden, whichever was asked.
        masks: ``(A, h, w)`` in [0, 1], 1 in the area.
        hidden: Whether the area was hidden, not shown.
    """

    name: str
    areas: tuple[float, ...]
    scores: tuple[float, ...]
    masks: FloatArray
    hidden: bool


def plain_scores(
    network: nn.Module, image: Tensor, read: Read, *, sigma: float = 10.0
) -> tuple[float, float]:
    """What is read of an image ``(C, H, W)`` with everything shown, and with everything blurred."""
    with evaluating(network), torch.inference_mode(False), torch.no_grad():
        pair = read(network(torch.stack([image, baseline(image, "blur", sigma=sigma)])))
        whole, nothing = pair.tolist()
    return whole, nothing


def extremal_curve(
    network: nn.Module,
    image: Tensor,
    learn: Read,
    read: Read,
    areas: Sequence[float],
    *,
    game: str = "preserve",
    sigma: float = 10.0,
    iterations: int = 200,
    cells: int = 28,
    smooth: float = 2.0,
) -> MaskCurve:
    """Extremal masks of several areas and what they leave; see `extremal_masks`.

    Args:
        network: Left as it was.
        image: ``(C, H, W)``.
        learn: What the masks are learned on, from logits ``(M, K)``: the class's logit, say.
        read: What the curve tells, likewise: its probability, say.
        areas: Shares of the image.
        game: ``preserve`` or ``delete``.
        sigma: Width of the blur in pixels.
        iterations: Steps.
        cells: Cells of the mask on the image's longer side.
        smooth: Width of a shape in cells.

    Returns:
        The curve.
    """
    hidden = baseline(image, "blur", sigma=sigma)
    with evaluating(network), torch.inference_mode(False):
        with torch.enable_grad():
            masks = extremal_masks(
                lambda copies: learn(network(copies)),
                image,
                hidden,
                areas,
                game=game,
                iterations=iterations,
                cells=cells,
                smooth=smooth,
            )
        taken = game == "delete"
        return _curve(
            GAMES.get(game, game), lambda copies: read(network(copies)), image, hidden, masks, taken
        )


def meaningful_curve(
    network: nn.Module,
    image: Tensor,
    learn: Read,
    read: Read,
    prices: Sequence[float] = (3e-3, 1e-3, 3e-4, 1e-4),
    *,
    sigma: float = 10.0,
    iterations: int = 100,
    grid: int = 28,
) -> MaskCurve:
    r"""Meaningful perturbation's masks for several prices of the area, :math:`\lambda_1`, hidden.

    Each price gives a mask of some area, which is not chosen beforehand; see
    `xiqa.saliency.masking.meaningful.deletion_mask`.

    Args:
        network: Left as it was.
        image: ``(C, H, W)``.
        learn: What the masks are learned on, from logits ``(M, K)``: the class's probability, say.
        read: What the curve tells, likewise.
        prices: :math:`\lambda_1`, falling.
        sigma: Width of the blur in pixels.
        iterations: Steps.
        grid: Side of the mask.

    Returns:
        The curve, by rising area.
    """
    hidden = baseline(image, "blur", sigma=sigma)
    with evaluating(network), torch.inference_mode(False):
        with torch.enable_grad():
            scores = [
                deletion_mask(
                    lambda copies: learn(network(copies)),
                    image,
                    hidden,
                    grid=grid,
                    iterations=iterations,
                    rate=0.1,
                    area=price,
                    variation=1e-2,
                    power=3.0,
                    jitter=4,
                    noise=0.03,
                    seed=0,
                )
                for price in prices
            ]
        masks = torch.stack(sorted(scores, key=lambda mask: float(mask.mean())))
        score: Score = lambda copies: read(network(copies))  # noqa: E731
        return _curve("meaningful perturbation hidden", score, image, hidden, masks, True)


def _curve(name: str, score: Score, image: Tensor, hidden: Tensor, masks: Tensor, taken: bool) -> MaskCurve:
    """What masks leave of the score."""
    with torch.no_grad():
        left = masked_scores(score, image, hidden, 1 - masks if taken else masks)
    areas = masks.mean(dim=(1, 2))
    values = masks.detach().float().cpu().numpy()
    return MaskCurve(name, tuple(areas.tolist()), tuple(left.tolist()), values, taken)


def smallest_area(curve: MaskCurve, level: float) -> int | None:
    """Index of the smallest mask that keeps (or, hidden, takes) the score to a level; None where none does.

    >>> import numpy as np
    >>> smallest_area(MaskCurve("", (0.1, 0.2), (0.3, 0.8), np.zeros((2, 1, 1), np.float32), False), 0.5)
    1
    """
    for place, score in enumerate(curve.scores):
        if (score <= level) if curve.hidden else (score >= level):
            return place
    return None
