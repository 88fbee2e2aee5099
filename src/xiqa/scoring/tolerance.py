"""Tolerance limits: what most of a population keeps to, said of a sample of it with a stated confidence."""

from __future__ import annotations

from math import ceil, log

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

from xiqa.errors import MetricError

__all__ = ["fewest_trials", "lower_limit"]


def fewest_trials(share: float, confidence: float = 0.95) -> int:
    r"""How many independent values a limit needs.

    .. math:: n \ge \frac{\log(1 - \gamma)}{\log s}

    Below that not even the smallest value vouches for the share :math:`s` with the confidence
    :math:`\gamma`: all :math:`n` values lie in a part of the population of that size more often than not
    allowed.

    Args:
        share: Of the population, in (0, 1).
        confidence: In (0, 1).

    Raises:
        MetricError: Numbers outside (0, 1).

    >>> fewest_trials(0.9), fewest_trials(0.95), fewest_trials(0.98)
    (29, 59, 149)
    """
    if not (0 < share < 1 and 0 < confidence < 1):
        raise MetricError(
            "no such tolerance limit",
            expected="share and confidence between 0 and 1",
            got=f"{share} and {confidence}",
        )
    return ceil(log(1 - confidence) / log(share) - 1e-9)


def lower_limit(values: ArrayLike, share: float, confidence: float = 0.95) -> float:
    r"""The highest of the values that at least a share of the population reaches, with a confidence.

    The share at or above the :math:`k`-th smallest of :math:`n` independent values follows
    :math:`\mathrm{Beta}(n - k + 1, k)`, whatever the population; the limit is the value of the largest
    :math:`k` with

    .. math:: P\big(\mathrm{Bin}(n, 1 - s) \ge k\big) \ge \gamma .

    Source: ``wilks1941tolerance``.

    Args:
        values: ``(n,)``, independent.
        share: See `fewest_trials`.
        confidence: See `fewest_trials`.

    Returns:
        One of the values.

    Raises:
        MetricError: Fewer values than `fewest_trials`.

    >>> lower_limit(range(100), 0.9)
    4.0
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count, needed = len(ordered), fewest_trials(share, confidence)
    if count < needed:
        raise MetricError("too few values for a limit", expected=f"{needed} or more", got=str(count))
    ranks = np.arange(1, count + 1)
    enough = binom.sf(ranks - 1, count, 1 - share) >= confidence - 1e-12
    return float(ordered[np.flatnonzero(enough)[-1]])
