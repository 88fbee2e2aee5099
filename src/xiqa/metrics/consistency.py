"""Whether a saliency detector is as good on one architecture as on another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import inf, nan
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from xiqa.errors import MetricError
from xiqa.metrics.registry import metric

__all__ = ["difference_of_means"]


@metric(
    "difference_of_means",
    "consistency",
    higher_is_better=False,
    bounds=(0, inf),
    cite="ozer2025consistent",
    scope="set",
    cases={"non_finite": "is no score and left out; NaN where an architecture has no other"},
)
def difference_of_means(scores: Sequence[ArrayLike], *, many: Literal["pairs", "range"] = "pairs") -> float:
    r"""How far the mean scores of a detector on several architectures lie apart.

    .. math:: \mathrm{DoM} = \lvert \mu_1 - \mu_2 \rvert

    where :math:`\mu_k` is the mean of all scores of architecture :math:`k`: of its repeated trainings, each
    the score of a whole test set, or of the images of one training; each weighs alike. In one dimension and
    with the linear kernel :math:`k(x, y) = xy` it is the maximum mean discrepancy,

    .. math:: \mathrm{MMD}^2 = \overline{k(x, x')} + \overline{k(y, y')} - 2\, \overline{k(x, y)}
       = \mu_1^2 + \mu_2^2 - 2 \mu_1 \mu_2 ,

    with the means over all pairs, a score with itself included.

    A printed table is checked in one line: ``difference_of_means([mean_1, mean_2])`` of a detector's printed
    means is its entry in the column, up to 0.0015 where means and column are rounded to three digits.

    **Pitfalls.** A detector that fails everywhere is perfectly consistent: read it beside the score. It
    knows no spread; for an interval resample the trainings or the patients.

    **Variants.** For more than two architectures ``many="pairs"`` is the mean over all pairs,
    ``many="range"`` the largest difference.

    Args:
        scores: One sequence of scores, or a mean, an architecture; at least two.
        many: How several differences become one.

    Returns:
        Difference in units of the score; NaN where a sequence has no finite score.

    Raises:
        MetricError: Fewer than two architectures, or ``many`` is not known.

    >>> round(difference_of_means([[0.8, 0.9], [0.7]]), 6)
    0.15
    >>> round(difference_of_means([0.85, 0.7]), 6)  # the same from the means
    0.15
    """
    if len(scores) < 2:
        raise MetricError("consistency compares architectures", expected="scores of at least two")
    if many not in ("pairs", "range"):
        raise MetricError("unknown summary", expected="'pairs' or 'range'", got=repr(many))
    means = []
    for values in scores:
        finite = np.asarray(values, float).ravel()
        finite = finite[np.isfinite(finite)]
        means.append(float(finite.mean()) if finite.size else nan)
    if any(np.isnan(means)):
        return nan
    if many == "range":
        return max(means) - min(means)
    return float(np.mean([abs(a - b) for a, b in combinations(means, 2)]))
