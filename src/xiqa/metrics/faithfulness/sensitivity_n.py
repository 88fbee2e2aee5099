"""Sensitivity-n: do sums of the map follow what the removal of its pixels does?"""

from __future__ import annotations

from math import nan

import numpy as np

from xiqa.metrics.arguments import ClassIndex, Count, Fill, Map, Output, Picture, Seed, Shares
from xiqa.metrics.perturbation import is_usable, scores_of
from xiqa.metrics.registry import metric
from xiqa.metrics.scales import unit_scale
from xiqa.saliency.arrays import like
from xiqa.saliency.perturbation.copies import baseline, blend, chunks
from xiqa.saliency.probe import Probe

__all__ = ["sensitivity_n"]


@metric(
    "sensitivity_n",
    "faithfulness",
    higher_is_better=True,
    bounds=(-1, 1),
    cite="ancona2018towards",
    cases={"constant": nan},
)
def sensitivity_n(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    shares: Shares = (0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8),
    samples: Count = 100,
    region: Count = 1,
    fill: Fill = 0.0,
    output: Output = "logit",
    seed: Seed = 0,
) -> float:
    r"""Correlation of the map's sums over random sets of pixels with the fall of the score without them.

    .. math:: \frac{1}{|N|} \sum_{n \in N} \rho_{\mathcal{S}:\, |\mathcal{S}| = n}
       \Bigl(\sum_{i \in \mathcal{S}} R_i,\ f(x) - f(x_{\mathcal{S} = b})\Bigr)

    **Pitfalls.** Sums and falls must belong to the *same* sets; an exact attribution of a linear score then
    has 1 for every :math:`n`. Random single pixels hardly change a real network's score: take regions.

    **Variants.** ``region``: side of the squares that are removed together. A set size without any variation
    (all pixels, a constant map) has no correlation and is left out of the mean.

    Args:
        probe: Scores batches of images.
        image: ``(C, H, W)`` as the network takes it.
        saliency: ``(H, W)``, contributions relative to the fill.
        target: The explained class.
        shares: Sizes :math:`n` of the sets, as shares of the regions.
        samples: Sets drawn a size.
        region: Side of a region, pixels.
        fill: What comes where a pixel is removed, :math:`b`.
        output: ``logit``, ``probability`` or ``sigmoid``.
        seed: Seed of the sets.

    Returns:
        Mean correlation; NaN for a map that is constant over regions, or not finite.

    Raises:
        MetricError: A share outside (0, 1], or a map on another grid.
    """
    if not is_usable(saliency, image):
        return nan
    rng = np.random.default_rng(seed)
    rows, columns = saliency.shape
    y, x = np.mgrid[:rows, :columns] // region
    number = y * (int(x.max()) + 1) + x
    regions = int(number.max()) + 1
    values = np.bincount(number.ravel(), unit_scale(saliency).ravel(), regions)
    filled = baseline(image, fill)
    before = scores_of(probe, image[None], target, output).double()
    correlations = []
    for share in shares:
        size = max(1, round(share * regions))
        falls, sums = [], []
        for part in chunks(samples, (rows, columns)):
            draws = rng.random((part.stop - part.start, regions))
            chosen = np.zeros(draws.shape, bool)
            np.put_along_axis(chosen, np.argpartition(draws, size - 1, axis=1)[:, :size], True, axis=1)
            copies = blend(filled, image, like(chosen[:, number], image))
            falls.append((before - scores_of(probe, copies, target, output)).cpu().numpy())
            sums.append(chosen @ values)
        correlations.append(_correlation(np.concatenate(sums), np.concatenate(falls)))
    known = [value for value in correlations if not np.isnan(value)]
    return float(np.mean(known)) if known else nan


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation; NaN where a side varies by rounding only."""
    if any(np.ptp(side) <= 1e-9 * max(1e-30, np.abs(side).max()) for side in (a, b)):
        return nan
    return float(np.corrcoef(a, b)[0, 1])
