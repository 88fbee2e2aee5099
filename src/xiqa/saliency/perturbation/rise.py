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
        size: (rows, columns) of the image, (slices, rows, columns) of a volume.
        grid: Cells a side.
        keep: Probability that a cell stays visible.
        seed: The random numbers start here.
    """

    def __init__(self, count: int, size: tuple[int, ...], *, grid: int, keep: float, seed: int) -> None:
        self.size = size
        self.cell = tuple(math.ceil(side / grid) for side in size)
        cells, draws = uniform(seed, (count, *[grid] * len(size)), (count, len(size)))
        self.patterns = (cells < keep).astype(np.float32)
        self.shifts = (draws * np.array(self.cell, np.float32)).astype(np.intp)
        self.enlarged = tuple((grid + 1) * length for length in self.cell)

    def __call__(self, part: slice) -> FloatArray:
        """The masks of one chunk, ``(M, H, W)`` in [0, 1]."""
        large = enlarge(self.patterns[part], self.enlarged)
        crops = [
            mask[tuple(slice(first, first + side) for first, side in zip(shift, self.size, strict=True))]
            for mask, shift in zip(large, self.shifts[part].tolist(), strict=True)
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
    size = tuple(map(int, image.shape[1:]))
    total = np.zeros(math.prod(size))
    for part in chunks(count, size):
        mask = like(to_numpy(masks(part)), image)
        kept = score(blend(image, hidden, mask))
        total += to_numpy(kept @ mask.reshape(len(mask), -1))
    return like((total / (count * keep)).reshape(size), image)


@probe_method("rise", cite="petsiuk2018rise", portable=True, dims=(2, 3))
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
    size = tuple(map(int, sample.image.shape[1:]))
    drawn = RiseMasks(masks, size, grid=grid, keep=keep, seed=seed)
    hidden = hidden_image(sample.image, baseline, dims=len(size))
    return weighted_masks(sample.score, sample.image, hidden, drawn, masks, keep=keep)
