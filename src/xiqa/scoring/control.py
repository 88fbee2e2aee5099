"""A control chart of rates: which periods are further from the usual than chance explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xiqa.errors import XiqaError

__all__ = ["Chart", "Point", "control_chart"]

_RUN = 9  # points on one side of the centre


@dataclass(frozen=True, slots=True)
class Point:
    """One period.

    Attributes:
        name: Of the period.
        count: How many.
        total: Of how many.
        low: Counts below it are an alarm.
        high: Counts above it are an alarm.
        alarm: ``high``, ``low``, ``run`` or nothing.
    """

    name: str
    count: int
    total: int
    low: int
    high: int
    alarm: str = ""

    @property
    def rate(self) -> float:
        """The count's part of the total; 0 of nothing."""
        return self.count / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Chart:
    """Periods in order.

    Attributes:
        centre: The usual rate: that of the first periods.
        baseline: How many periods these are.
        points: All periods.
    """

    centre: float
    baseline: int
    points: tuple[Point, ...]

    @property
    def alarms(self) -> tuple[Point, ...]:
        """The periods that stand out."""
        return tuple(point for point in self.points if point.alarm)


def control_chart(
    names: Sequence[str],
    counts: Sequence[int],
    totals: Sequence[int],
    *,
    baseline: int,
    alpha: float = 0.0027,
) -> Chart:
    r"""A p-chart (montgomery2012introduction, chapter 7) whose limits are the binomial's own quantiles.

    A period of :math:`n` images with the usual rate :math:`p` alarms when its count :math:`x` lies where

    .. math:: P(X \ge x) \le \tfrac{\alpha}{2} \quad \text{or} \quad P(X \le x) \le \tfrac{\alpha}{2},
       \qquad X \sim \mathrm{Bin}(n, p)

    Three standard deviations, as usual, would alarm far too often where few images are expected to be
    rejected. A *run* is the ninth period in a row on one side of the centre: a small change that stays.

    Args:
        names: Of the periods.
        counts: How many in each.
        totals: Of how many.
        baseline: Periods at the start whose rate is the usual one.
        alpha: Share of alarms of limits while nothing changes, at most, where the usual rate is known.

    Raises:
        XiqaError: Unequal lengths, or no period for the usual rate.

    >>> chart = control_chart(list("abcd"), [4, 5, 4, 30], [100] * 4, baseline=3)
    >>> [point.name for point in chart.alarms]
    ['d']
    """
    from scipy.stats import binom  # noqa: PLC0415 - takes half a second

    if not len(names) == len(counts) == len(totals):
        raise XiqaError("a chart needs a name, a count and a total of each period")
    used = sum(totals[:baseline])
    if baseline < 1 or used < 1:
        raise XiqaError("a chart needs periods with images at its start", got=f"{used} images")
    centre = sum(counts[:baseline]) / used
    whole = np.asarray(totals)
    # isf: the least count that is exceeded with at most alpha / 2; ppf: likewise from below
    high = np.where(whole > 0, binom.isf(alpha / 2, whole, centre), 0).astype(int)
    low = np.where(whole > 0, binom.ppf(alpha / 2, whole, centre), 0).astype(int)
    alarms = _alarms(np.asarray(counts), whole, low, high, centre)
    rows = zip(names, counts, totals, low.tolist(), high.tolist(), alarms, strict=True)
    return Chart(centre, min(baseline, len(names)), tuple(Point(*row) for row in rows))


def _alarms(
    counts: np.ndarray, totals: np.ndarray, low: np.ndarray, high: np.ndarray, centre: float
) -> list[str]:
    """What stands out; a run ends where a period lies on the other side or has no images."""
    found, side, length = [], 0, 0
    for count, total, least, most in zip(counts, totals, low, high, strict=True):
        here = int(np.sign(count - centre * total))
        length = length + 1 if here == side and here else abs(here)
        side = here
        if count > most:
            found.append("high")
        elif count < least:
            found.append("low")
        else:
            found.append("run" if length >= _RUN else "")
    return found
