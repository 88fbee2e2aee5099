r"""RISE: the mean of random masks, each weighted by the score that the image keeps under it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from xiqa.saliency.arrays import Array, enlarge, like, to_numpy, uniform
from xiqa.saliency.perturbation.copies import baseline as hidden_image
from xiqa.saliency.perturbation.copies import blend, chunks
from xiqa.saliency.registry import probe_method

if TYPE_CHECKING:
    from collections.abc import Callable

    from xiqa.saliency.perturbation.copies import Score
    from xiqa.saliency.probe import ProbeRecord
    from xiqa.types import FloatArray

__all__ = ["RiseMasks", "rise", "weighted_masks"]


class RiseMasks:
    r"""RISE's random masks: small random grids, enlarged bilinearly and shifted.

    Cells of a ``grid x grid`` pattern are kept with probability ``keep``; the pattern is enlarged to
    :math:`(g + 1)` cells a side, bilinearly, and cropped at a random offset within one cell. All random
    numbers are drawn at once, so that the masks do not depend on how they are cut into chunks.

    Args:
        count: How many masks.
        size: (rows, columns) of the image.
        grid: Cells a side.
        keep: Probability that a cell stays visible.
        seed: The random numbers start here.
    """

    def __init__(self, count: int, size: tuple[int, int], *, grid: int, keep: float, seed: int) -> None:
        self.size = size
        self.cell = (math.ceil(size[0] / grid), math.ceil(size[1] / grid))
        cells, draws = uniform(seed, (count, grid, grid), (count, 2))
        self.patterns = (cells < keep).astype(np.float32)
        self.shifts = (draws * np.array(self.cell, np.float32)).astype(np.intp)
        self.enlarged = ((grid + 1) * self.cell[0], (grid + 1) * self.cell[1])

    def __call__(self, part: slice) -> FloatArray:
        """The masks of one chunk, ``(M, H, W)`` in [0, 1]."""
        large = enlarge(self.patterns[part], self.enlarged)
        rows, columns = self.size
        crops = [
            mask[top : top + rows, left : left + columns]
            for mask, (top, left) in zip(large, self.shifts[part].tolist(), strict=True)
        ]
        return np.stack(crops)


def weighted_masks(
    score: Score, image: Array, hidden: Array, masks: Callable[[slice], Array], count: int, *, keep: float
) -> Array:
    r"""RISE's estimate of each pixel's importance.

    .. math:: S(\lambda) = \frac{1}{N p} \sum_{i=1}^{N} f(x \circ m_i)\, m_i(\lambda)

    Args:
        score: The class's score of altered copies.
        image: ``(C, H, W)``.
        hidden: ``(C, H, W)``, what shows where a mask is 0.
        masks: Gives the masks ``(M, H, W)`` of a slice.
        count: How many masks, :math:`N`.
        keep: Their mean, :math:`p`.

    Returns:
        ``(H, W)``, in the score's unit. Source: petsiuk2018rise, eq. 6.
    """
    rows, columns = int(image.shape[-2]), int(image.shape[-1])
    total = np.zeros(rows * columns)
    for part in chunks(count, (rows, columns)):
        mask = like(to_numpy(masks(part)), image)
        kept = score(blend(image, hidden, mask))
        total += to_numpy(kept @ mask.reshape(len(mask), -1))
    return like((total / (count * keep)).reshape(rows, columns), image)


@probe_method("rise", cite="petsiuk2018rise", portable=True)
def rise(
    sample: ProbeRecord,
    *,
    masks: int = 1000,
    grid: int = 7,
    keep: float = 0.5,
    baseline: str | float = 0.0,
    seed: int = 0,
) -> Array:
    r"""RISE: the mean of random masks, each weighted by the probability that the image keeps under it.

    .. math:: S(\lambda) = \frac{1}{N p} \sum_{i=1}^{N} p_c(x \circ m_i)\, m_i(\lambda)

    It sees nothing but scores, so it explains any model.

    Args:
        sample: The image and its scores.
        masks: How many masks (the source: 4000 to 8000).
        grid: Cells a side of the random pattern that is enlarged to a mask.
        keep: Probability that a cell stays visible.
        baseline: What shows where a mask is 0; see `xiqa.saliency.perturbation.copies.baseline`.
        seed: The image's masks start here.

    Returns:
        ``(H, W)``, probability. Source: petsiuk2018rise, eq. 6.
    """
    size = (int(sample.image.shape[-2]), int(sample.image.shape[-1]))
    drawn = RiseMasks(masks, size, grid=grid, keep=keep, seed=seed)
    hidden = hidden_image(sample.image, baseline)
    return weighted_masks(sample.score, sample.image, hidden, drawn, masks, keep=keep)
