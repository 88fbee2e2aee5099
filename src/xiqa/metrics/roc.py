"""The area under the ROC curve, of pixels and of images alike."""

from __future__ import annotations

from math import nan

import numpy as np
from numpy.typing import ArrayLike

from xiqa.errors import MetricError

__all__ = ["roc_auc"]


def roc_auc(scores: ArrayLike, positive: ArrayLike) -> float:
    r"""The probability that a positive scores above a negative, ties counted half.

    .. math:: \mathrm{AUC} = P(S_+ > S_-) + \tfrac12 P(S_+ = S_-)

    Args:
        scores: Any shape, finite.
        positive: Which of them are positive (true, or not zero), same shape.

    Returns:
        In [0, 1]; NaN where a side is empty.

    Raises:
        MetricError: Shapes that do not fit, or a score that is not a number.

    >>> roc_auc([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1])
    0.875
    """
    values, sides = np.asarray(scores), np.asarray(positive).astype(bool)
    if values.shape != sides.shape or np.isnan(values).any():
        raise MetricError(
            "scores and labels do not fit",
            expected=f"{values.shape} labels, and no score that is NaN",
            got=f"{sides.shape} labels, {int(np.isnan(values).sum())} scores of NaN",
        )
    above, below = values[sides], np.sort(values[~sides])
    if not above.size or not below.size:
        return nan
    lower, upper = (int(np.searchsorted(below, above, side).sum()) for side in ("left", "right"))
    return float((lower + upper) / (2 * above.size * below.size))
