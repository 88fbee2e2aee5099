"""What follows from printed numbers alone: whether they agree with themselves, and what exceeds its noise."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, hypot, isnan
from typing import TYPE_CHECKING

from xiqa.experiments.printed.numbers import MEAN_DIFFERENCE, Printed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Gap", "counts_that_fit", "gaps", "mean_differences", "smallest_counts"]


@dataclass(frozen=True, slots=True)
class Gap:
    r"""Two printed means of one method and how far apart they are.

    Attributes:
        method: Text of the detector.
        data: What was measured on.
        first: The one printed number.
        second: The other.
        printed: The difference that the paper prints itself; NaN without one.
    """

    method: str
    data: str
    first: Printed
    second: Printed
    printed: float = float("nan")

    @property
    def difference(self) -> float:
        """First less second, from the printed (rounded) means."""
        return self.first.value - self.second.value

    @property
    def noise(self) -> float:
        r"""Standard deviation of the difference of two single trainings, :math:`\sqrt{s_1^2 + s_2^2}`."""
        return hypot(self.first.sd, self.second.sd)

    @property
    def exceeds(self) -> bool:
        """Whether the difference is larger than twice its noise."""
        return abs(self.difference) > 2 * self.noise


def mean_differences(numbers: Sequence[Printed]) -> list[Gap]:
    """The difference of means of every method over two networks, from the means and as printed.

    Args:
        numbers: One printed table with two networks, as table 5 or 6 of ozer2025consistent.
    """
    differences = []
    for method, data, members in _by_method(numbers):
        means = [number for number in members if number.quantity != MEAN_DIFFERENCE]
        printed = [number.value for number in members if number.quantity == MEAN_DIFFERENCE]
        if len(means) == 2 and len(printed) == 1:
            differences.append(Gap(method, data, means[0], means[1], printed[0]))
    return differences


def gaps(numbers: Sequence[Printed], first: str, second: str) -> list[Gap]:
    """The difference of every method between two conditions.

    Args:
        numbers: One printed table.
        first: What the one condition says, such as ``trained``.
        second: The other, such as ``fully randomised``.
    """
    return [
        Gap(method, data, by_condition[first], by_condition[second])
        for method, data, members in _by_method(numbers)
        if {first, second}
        <= set(by_condition := {number.condition.removesuffix(", repeated"): number for number in members})
    ]


def counts_that_fit(values: Iterable[float], n: int, *, decimals: int = 3) -> bool:
    r"""Whether every value can be a share of n images, rounded to so many decimals.

    A share is :math:`k / n` with a whole k; for each value :math:`v` there must be one with
    :math:`|k / n - v| \le \tfrac12 10^{-d}`.

    Args:
        values: Printed shares.
        n: Images.
        decimals: Digits that were printed.

    >>> counts_that_fit([0.854, 0.346], 500), counts_that_fit([0.333], 500)
    (True, False)
    """
    half = 0.5 * 10**-decimals + 1e-12
    return all(min(abs((floor(value * n) + step) / n - value) for step in (0, 1)) <= half for value in values)


def smallest_counts(values: Sequence[float], *, most: int = 2000, decimals: int = 3) -> list[int]:
    """The numbers of images, up to `most`, of which every printed value can be a share."""
    return [n for n in range(1, most + 1) if counts_that_fit(values, n, decimals=decimals)]


def _by_method(numbers: Sequence[Printed]) -> list[tuple[str, str, list[Printed]]]:
    groups: dict[tuple[str, str], list[Printed]] = {}
    for number in numbers:
        if number.method and not (isnan(number.sd) and number.quantity != MEAN_DIFFERENCE):
            groups.setdefault((number.method, number.data), []).append(number)
    return [(*key, members) for key, members in groups.items()]
