"""Correlation of two maps."""

from __future__ import annotations

from math import nan

import numpy as np
from scipy.stats import rankdata

from xiqa.errors import MetricError
from xiqa.metrics.arguments import Map
from xiqa.metrics.registry import Cases, metric
from xiqa.metrics.scales import unit_scale
from xiqa.saliency.peaks import says_something

__all__ = ["pearson", "same_grid", "spearman"]

_CASES: Cases = {"constant": nan, "no_truth": nan, "full_truth": nan}


def same_grid(a: Map, b: Map) -> None:
    """Check that two maps can be compared.

    Raises:
        MetricError: They have different sizes.
    """
    if a.shape != b.shape:
        raise MetricError(
            "maps on different grids cannot be compared",
            expected=f"two maps of {a.shape}",
            got=str(b.shape),
            todo="upsample both to the image's size",
        )


@metric(
    "pearson",
    "agreement",
    higher_is_better=True,
    bounds=(-1, 1),
    truth="map",
    cite="bylinskii2019metrics",
    cases=_CASES,
)
def pearson(a: Map, b: Map) -> float:
    r"""Linear correlation of two maps, called CC for gaze.

    .. math:: \rho = \frac{\sum (a - \bar a)(b - \bar b)}{\sqrt{\sum (a - \bar a)^2 \sum (b - \bar b)^2}}

    **Pitfalls.** A few very high pixels decide it. Neighbouring pixels are not independent, so no p-value.

    **Variants.** `spearman` for the order alone.

    Args:
        a: ``(H, W)``.
        b: ``(H, W)``.

    Returns:
        In [-1, 1]; NaN when a map is constant or not finite.

    Raises:
        MetricError: The maps have different sizes.

    >>> round(pearson(np.array([[1.0, 2.0, 4.0]]), np.array([[2.0, 4.0, 8.0]])), 6)
    1.0
    """
    same_grid(a, b)
    if not says_something(a) or not says_something(b):
        return nan
    x, y = (unit_scale(values - values.mean()) for values in (unit_scale(a), unit_scale(b)))
    return float(np.clip((x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum()), -1, 1))


@metric(
    "spearman",
    "agreement",
    higher_is_better=True,
    bounds=(-1, 1),
    truth="map",
    cite="adebayo2018sanity",
    cases={**_CASES, "ties": "share their mean rank"},
)
def spearman(a: Map, b: Map) -> float:
    r"""Correlation of the pixels' ranks in two maps.

    .. math:: \rho_s = \rho(\operatorname{rank} a, \operatorname{rank} b)

    **Pitfalls.** The many pixels near zero weigh as much as the few that matter. Maps with a large flat part
    (after a ReLU) tie there.

    **Variants.** Take the absolute values of signed maps first to compare magnitudes, as the source does
    both ways.

    Args:
        a: ``(H, W)``.
        b: ``(H, W)``.

    Returns:
        In [-1, 1]; NaN when a map is constant or not finite.

    Raises:
        MetricError: The maps have different sizes.
    """
    same_grid(a, b)
    if not says_something(a) or not says_something(b):
        return nan
    return pearson(rankdata(a, axis=None).reshape(a.shape), rankdata(b, axis=None).reshape(b.shape))
