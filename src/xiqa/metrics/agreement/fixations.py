"""A map compared with single points that people looked at, or with a mask's pixels."""

from __future__ import annotations

from math import inf, nan

import numpy as np

from xiqa.metrics.agreement.correlation import same_grid
from xiqa.metrics.arguments import Map
from xiqa.metrics.registry import metric
from xiqa.metrics.scales import as_distribution, unit_scale
from xiqa.saliency.peaks import says_something

__all__ = ["auc_judd", "nss"]


@metric(
    "auc_judd",
    "agreement",
    higher_is_better=True,
    bounds=(0, 1),
    truth="map",
    cite="bylinskii2019metrics",
    cases={"constant": 0.5, "ties": "count one half", "no_truth": nan, "full_truth": nan},
)
def auc_judd(a: Map, b: Map) -> float:
    r"""Area under the ROC curve of the map as a detector of fixations, read at the fixations' levels.

    .. math:: \int \mathrm{TPR}\; d\,\mathrm{FPR}, \qquad
       \mathrm{TPR}_\theta = \frac{|\{f: S_f \ge \theta\}|}{|f|},\
       \mathrm{FPR}_\theta = \frac{|\{i \notin f: S_i \ge \theta\}|}{|i \notin f|}

    for the levels :math:`\theta` of the map at the fixations, by the trapezoidal rule from (0, 0) to (1, 1).

    **Pitfalls.** Low values far from fixations cost nothing. People look at the centre: a central blob does
    well.

    **Variants.** The source adds tiny noise against ties; here they count one half, without noise.
    `pixel_auc` reads the curve at every level.

    Args:
        a: The map, ``(H, W)``.
        b: ``(H, W)``, positive at fixated pixels.

    Returns:
        In [0, 1], 0.5 for a constant map; NaN without fixations, without other pixels, or where either array
        is not finite.

    Raises:
        MetricError: The arrays have different sizes.
    """
    same_grid(a, b)
    fixated = np.asarray(b) > 0
    count, others = int(fixated.sum()), int((~fixated).sum())
    if not (np.isfinite(a).all() and np.isfinite(b).all() and count and others):
        return nan
    levels = np.unique(a[fixated])[::-1]
    inside, outside = np.sort(a[fixated]), np.sort(a[~fixated])
    true = 1 - np.searchsorted(inside, levels, side="left") / count
    false = 1 - np.searchsorted(outside, levels, side="left") / others
    return float(np.trapezoid([0, *true, 1], [0, *false, 1]))


@metric(
    "nss",
    "agreement",
    higher_is_better=True,
    bounds=(-inf, inf),
    truth="map",
    cite="bylinskii2019metrics",
    cases={"constant": nan, "no_truth": nan, "full_truth": 0.0},
)
def nss(a: Map, b: Map) -> float:
    r"""How many standard deviations above its mean the map is at fixations.

    .. math:: \mathrm{NSS} = \frac{1}{\sum_i n_i} \sum_i n_i \frac{S_i - \bar S}{\sigma_S}

    **Pitfalls.** Unbounded, and sensitive to false peaks as well as to missed ones. 0 is chance.

    **Variants.** ``b`` may count fixations: pixel :math:`i` then weighs :math:`n_i`. The population's
    standard deviation is taken.

    Args:
        a: The map, ``(H, W)``.
        b: ``(H, W)``, numbers of fixations, or a mask.

    Returns:
        Standard deviations; NaN for a constant map, without fixations, or not finite.

    Raises:
        MetricError: The arrays have different sizes.

    >>> nss(np.array([[0.0, 2.0]]), np.array([[0, 1]]))
    1.0
    """
    same_grid(a, b)
    weights = as_distribution(b)
    if not says_something(a) or weights is None:
        return nan
    centred = unit_scale(a)
    centred = unit_scale(centred - centred.mean())  # scaled again: little is left of a map far from zero
    return float((centred / centred.std() * weights).sum())
