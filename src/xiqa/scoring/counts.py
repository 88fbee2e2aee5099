"""Rates of what was counted, with exact intervals, and the agreement of two who judge the same."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, sqrt

from xiqa.errors import XiqaError

__all__ = ["Kappa", "Rate", "kappa_of", "rate_of"]


@dataclass(frozen=True, slots=True)
class Rate:
    """A part of a whole with its interval.

    Attributes:
        count: How many.
        total: Of how many.
        value: The rate; NaN of nothing.
        low: Lower end of the interval.
        high: Upper end.
    """

    count: int
    total: int
    value: float
    low: float
    high: float


def rate_of(count: int, total: int, level: float = 0.95) -> Rate:
    r"""A rate with the exact interval of clopper1934use.

    .. math:: \Bigl[B(\tfrac{\alpha}{2};\ k,\ n - k + 1),\ B(1 - \tfrac{\alpha}{2};\ k + 1,\ n - k)\Bigr]

    with the quantiles :math:`B` of the beta distribution. It holds for independent images; several of one
    patient make it too narrow.

    Args:
        count: How many, :math:`k`.
        total: Of how many, :math:`n`.
        level: Confidence, :math:`1 - \alpha`.

    Raises:
        XiqaError: More than the whole, or less than nothing.

    >>> rate = rate_of(8, 100)
    >>> round(rate.low, 4), round(rate.high, 4)
    (0.0352, 0.1516)
    """
    from scipy.stats import beta  # noqa: PLC0415 - takes half a second

    if not 0 <= count <= total:
        raise XiqaError("no such rate", expected=f"a count from 0 to {total}", got=str(count))
    if total == 0:
        return Rate(0, 0, nan, nan, nan)
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, total - count + 1))
    high = 1.0 if count == total else float(beta.ppf(1 - tail, count + 1, total - count))
    return Rate(count, total, count / total, low, high)


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance.

    Attributes:
        value: 1: always the same; 0: as chance would have it; NaN where chance alone explains all.
        low: Lower end of the 95 % interval.
        high: Upper end.
        agreement: Share of the same judgements.
        total: How many pairs of judgements.
    """

    value: float
    low: float
    high: float
    agreement: float
    total: int


def kappa_of(both: int, first: int, second: int, neither: int) -> Kappa:
    r"""Cohen's kappa of two who say yes or no, with its large-sample interval (cohen1960coefficient).

    .. math:: \kappa = \frac{p_o - p_e}{1 - p_e}, \qquad
       \mathrm{SE} = \sqrt{\frac{p_o (1 - p_o)}{n (1 - p_e)^2}}

    Args:
        both: Both say yes.
        first: The first alone does.
        second: The second alone does.
        neither: Neither does.

    >>> round(kappa_of(20, 5, 10, 15).value, 3)
    0.4
    """
    total = both + first + second + neither
    if total == 0:
        return Kappa(nan, nan, nan, nan, 0)
    observed = (both + neither) / total
    yes = (both + first) * (both + second) / total**2
    no = (second + neither) * (first + neither) / total**2
    chance = yes + no
    if chance >= 1:
        return Kappa(nan, nan, nan, observed, total)
    value = (observed - chance) / (1 - chance)
    spread = 1.959964 * sqrt(observed * (1 - observed) / total) / (1 - chance)
    return Kappa(value, max(-1.0, value - spread), min(1.0, value + spread), observed, total)
