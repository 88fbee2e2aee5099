"""A value with its confidence interval by patient, and how many images and patients it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan, nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xiqa.errors import XiqaError
from xiqa.models.card import Estimate
from xiqa.scoring.bootstrap import bootstrap_values, patient_numbers

__all__ = [
    "Bounds",
    "Interval",
    "exact_ends",
    "independent_pairs",
    "interval_of",
    "mean_interval",
    "statistic_interval",
]

Floats = NDArray[np.float64]
Bounds = tuple[float, float]

SHARE: Bounds = (0.0, 1.0)
ANY: Bounds = (-inf, inf)
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its confidence interval.

    Attributes:
        value: The value on all images; NaN where it is not defined on any.
        low: Lower end; NaN where the images tell nothing of how sure the value is.
        high: Upper end.
        images: How many images it rests on.
        patients: How many patients these show.
    """

    value: float
    low: float
    high: float
    images: int
    patients: int

    def __str__(self) -> str:
        ends = "" if isnan(self.low) else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.value:.3f}{ends} (n = {self.images})"

    def estimate(self) -> Estimate:
        """The interval as a model card holds it."""
        known = isfinite(self.low) and isfinite(self.high)
        return Estimate(value=self.value, low=self.low if known else None, high=self.high if known else None)


def exact_ends(value: float, trials: int, level: float = 0.95, bounds: Bounds = SHARE) -> Bounds:
    r"""The exact interval of a mean that stands at an end of its range in every one of so many trials.

    .. math:: \Bigl[(\tfrac{\alpha}{2})^{1/n},\ 1\Bigr] \text{ at } 1, \qquad
       \Bigl[0,\ 1 - (\tfrac{\alpha}{2})^{1/n}\Bigr] \text{ at } 0

    Of 0 and 1 these are the ends of clopper1934use. They hold for every score within the bounds: it reaches
    its bound no more often than its mean lies along the range.

    Args:
        value: The mean.
        trials: Independent trials, :math:`n`: patients, not images.
        level: Confidence, :math:`1 - \alpha`.
        bounds: Smallest and largest possible score.

    Returns:
        Both ends; NaN where the value is at no bound, or the range has no other end.

    >>> [round(end, 3) for end in exact_ends(1.0, 10)]
    [0.692, 1.0]
    """
    low, high = bounds
    reach = ((1 - level) / 2) ** (1 / trials) * (high - low) if trials and isfinite(high - low) else nan
    if isnan(reach) or value not in bounds:
        return nan, nan
    return (low + reach, high) if value == high else (low, high - reach)


def interval_of(
    value: float,
    draws: Floats,
    *,
    images: int,
    patients: int,
    level: float = 0.95,
    bounds: Bounds = SHARE,
    trials: int | None = None,
) -> Interval:
    """A value with the percentile interval of its resampled values, or the exact one where they all agree.

    Resamples that all give the same value know of no uncertainty: their percentiles would claim that there is
    none. At an end of the range the interval is then exact (`exact_ends`), elsewhere there is none. Neither
    is there one of a single patient, whose resamples are all that patient.

    Args:
        value: The value on all images.
        draws: ``(resamples,)``; NaN is left out.
        images: Images the value rests on.
        patients: Patients they show.
        level: Confidence.
        bounds: Smallest and largest possible value.
        trials: Independent trials of an exact interval; None: the patients.

    Raises:
        XiqaError: A level outside (0, 1).
    """
    if not 0 < level < 1:
        raise XiqaError("no such confidence", expected="a level between 0 and 1", got=str(level))
    known = draws[np.isfinite(draws)]
    if isnan(value) or not known.size:
        return Interval(value, nan, nan, images, patients)
    if patients > 1 and np.ptp(known) > _ROUNDING * max(1.0, abs(value)):
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    else:
        near = [bound for bound in bounds if abs(value - bound) <= _ROUNDING * max(1.0, abs(value))]
        count = patients if trials is None else trials
        low, high = exact_ends(near[0], count, level, bounds) if near else (nan, nan)
    return Interval(value, float(low), float(high), images, patients)


def mean_interval(
    values: ArrayLike,
    draws: Floats,
    patients: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    bounds: Bounds = SHARE,
) -> Interval:
    """The mean of images' values with its interval; NaN is left out.

    Args:
        values: ``(images,)``.
        draws: The means of resampled sets, by `bootstrap_means`.
        patients: Patient of each image; None: every image is one.
        level: Confidence.
        bounds: Smallest and largest possible value. A value outside them makes them unknown.
    """
    scores = np.asarray(values, float)
    defined = np.isfinite(scores)
    if not defined.any():
        return Interval(nan, nan, nan, 0, 0)
    kept = scores[defined]
    numbers, _ = patient_numbers(patients, len(scores))
    return interval_of(
        float(kept.mean()),
        draws,
        images=int(kept.size),
        patients=len(np.unique(numbers[defined])),
        level=level,
        bounds=bounds if bounds[0] <= kept.min() and kept.max() <= bounds[1] else ANY,
    )


def independent_pairs(positive: ArrayLike, patients: Sequence[str]) -> int:
    """How many pairs of a positive and a negative image there are that share no patient with one another.

    >>> independent_pairs([True, True, False, False], ["a", "b", "b", "c"])
    1
    """
    sides: dict[bool, set[str]] = {True: set(), False: set()}
    for side, patient in zip(np.asarray(positive, dtype=bool).tolist(), patients, strict=True):
        sides[side].add(patient)
    return min(len(sides[True]), len(sides[False]), len(sides[True] | sides[False]) // 2)


def statistic_interval(
    statistic: Callable[[NDArray[np.intp]], float],
    patients: Sequence[str],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    bounds: Bounds = SHARE,
    trials: int | None = None,
) -> Interval:
    """A value of a whole data set (FROC, AUC) with its bootstrap percentile interval, by patient.

    The percentiles of a measure that cannot be negative, such as a calibration error, are biased upwards.

    Args:
        statistic: The value on the images of these indices, which may repeat; NaN where it has none.
        patients: Patient of each image.
        level: Confidence.
        resamples: Number of resamples; each calls the statistic.
        seed: Seed of the draws.
        bounds: Smallest and largest possible value.
        trials: Independent trials that it rests on where every resample agrees; None: the patients.
    """
    draws = bootstrap_values(statistic, patients, len(patients), resamples=resamples, seed=seed)
    return interval_of(
        float(statistic(np.arange(len(patients)))),
        draws,
        images=len(patients),
        patients=len(set(patients)),
        level=level,
        bounds=bounds,
        trials=trials,
    )
