"""Whether probabilities mean what they say: the reliability diagram, and one number of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from xiqa.errors import MetricError
from xiqa.models.card import Reliability

__all__ = ["calibration_error", "reliability"]


def reliability(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = 10) -> tuple[Reliability, ...]:
    """The reliability diagram: equal intervals of predicted probability, the empty ones left out.

    Args:
        probabilities: ``(N,)`` in [0, 1], of the poor class.
        outcomes: ``(N,)`` of 0 and 1, whether it was poor.
        bins: How many intervals.

    Returns:
        The bins that hold an image, in order.

    Raises:
        MetricError: Numbers that are no probabilities, shapes that do not fit, or no bin.
    """
    predicted, observed = np.asarray(probabilities, dtype=float), np.asarray(outcomes, dtype=float)
    if predicted.shape != observed.shape or bins < 1 or not ((predicted >= 0) & (predicted <= 1)).all():
        raise MetricError(
            "no reliability diagram",
            expected="a probability in [0, 1] for each outcome, and 1 bin at least",
            got=f"{predicted.shape} probabilities, {observed.shape} outcomes, {bins} bins",
        )
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.digitize(predicted, edges) - 1, 0, bins - 1)
    return tuple(
        Reliability(
            low=float(edges[index]),
            high=float(edges[index + 1]),
            images=int(inside.sum()),
            predicted=float(predicted[inside].mean()),
            observed=float(observed[inside].mean()),
        )
        for index in range(bins)
        if (inside := place == index).any()
    )


def calibration_error(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = 10) -> float:
    r"""Expected calibration error.

    .. math:: \mathrm{ECE} = \sum_b \frac{n_b}{N} \, |\bar p_b - \bar y_b|

    over the bins of `reliability`, in [0, 1], 0 is best. Source: ``naeini2015ece``.

    Raises:
        MetricError: As `reliability`, or there is no image.

    >>> calibration_error([0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0])
    0.0
    """
    predicted, observed = np.asarray(probabilities, dtype=float), np.asarray(outcomes, dtype=float)
    if not predicted.size:
        raise MetricError("no calibration error of no image")
    diagram = reliability(predicted, observed, bins)
    return sum(row.images * abs(row.predicted - row.observed) for row in diagram) / predicted.size
