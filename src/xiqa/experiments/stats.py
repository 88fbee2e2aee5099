"""What may be said of a table of scores: intervals by patient, paired differences, how sure the ranks are.

Scores come as one array a method, all over the same images. NaN means that a metric is not defined on an
image; such images are left out of that method's mean, and of a comparison when either method lacks them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xiqa.errors import XiqaError
from xiqa.scoring.bootstrap import bootstrap_means, patient_numbers

__all__ = [
    "Difference",
    "Interval",
    "RankStability",
    "bootstrap_means",
    "bootstrap_statistic",
    "holm",
    "mean_intervals",
    "p_value",
    "paired_differences",
    "rank_stability",
    "statistic_draws",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its confidence interval.

    Attributes:
        value: The value on all images.
        low: Lower end.
        high: Upper end.
        images: How many images it rests on.
    """

    value: float
    low: float
    high: float
    images: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one method is than another, on the same images.

    Attributes:
        first: Name of the first method.
        second: Name of the second.
        mean: Mean of first minus second, with its interval.
        p: Two-sided p-value of no difference.
        p_holm: The same, corrected for all comparisons made together.
    """

    first: str
    second: str
    mean: Interval
    p: float
    p_holm: float


@dataclass(frozen=True, slots=True)
class RankStability:
    """Where a method stands, and how firmly.

    Attributes:
        rank: Rank on all images; 1 is best, ties share their mean.
        low: Lower end of the rank's interval.
        high: Upper end.
        best: Share of resamples in which it is (among) the best.
        expected: Mean rank over the resamples.
    """

    rank: float
    low: float
    high: float
    best: float
    expected: float


def _table(scores: Mapping[str, ArrayLike]) -> Floats:
    """Scores as ``(images, methods)``."""
    columns = [np.asarray(values, float).ravel() for values in scores.values()]
    if len({len(column) for column in columns}) != 1:
        raise XiqaError(
            "methods were scored on different images",
            expected="arrays of one length",
            got=", ".join(f"{name}: {len(c)}" for name, c in zip(scores, columns, strict=True)),
        )
    return np.stack(columns, axis=1)


def _interval(values: Floats, draws: Floats, level: float) -> Interval:
    """Mean and percentile interval of one column."""
    defined = values[np.isfinite(values)]
    if not defined.size:
        return Interval(nan, nan, nan, 0)
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(defined.mean()), float(low), float(high), int(defined.size))


def mean_intervals(
    scores: Mapping[str, ArrayLike],
    patients: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Each method's mean score with its bootstrap percentile interval, by patient.

    Args:
        scores: One array a method, over the same images.
        patients: Patient of each image; None: every image is one.
        level: Confidence.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Raises:
        XiqaError: Arrays of different lengths.

    >>> mean_intervals({"a": [1.0, 1.0, float("nan")]})["a"]
    Interval(value=1.0, low=1.0, high=1.0, images=2)
    """
    table = _table(scores)
    draws = bootstrap_means(table, patients, resamples=resamples, seed=seed)
    return {name: _interval(table[:, i], draws[:, i], level) for i, name in enumerate(scores)}


def bootstrap_statistic(
    statistic: Callable[[NDArray[np.intp]], float],
    patients: Sequence[str],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """A value of a whole data set (FROC, AUC) with its bootstrap percentile interval, by patient.

    Args:
        statistic: The value on the images of these indices, which may repeat.
        patients: Patient of each image.
        level: Confidence.
        resamples: Number of resamples; each calls the statistic.
        seed: Seed of the draws.
    """
    values = statistic_draws(statistic, patients, resamples=resamples, seed=seed)
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(np.arange(len(patients)))), float(low), float(high), len(patients))


def statistic_draws(
    statistic: Callable[[NDArray[np.intp]], float],
    patients: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Floats:
    """The resampled values behind `bootstrap_statistic`; equal seeds draw the same patients."""
    numbers, count = patient_numbers(patients, len(patients))
    members = [np.flatnonzero(numbers == patient) for patient in range(count)]
    rng = np.random.default_rng(seed)
    return np.asarray(
        [
            statistic(np.concatenate([members[patient] for patient in rng.integers(0, count, count)]))
            for _ in range(resamples)
        ]
    )


def holm(p: Sequence[float]) -> list[float]:
    r"""Holm's step-down correction for several tests, valid whatever their dependence.

    .. math:: \tilde p_{(k)} = \max_{j \le k} \min\bigl(1, (m - j + 1)\, p_{(j)}\bigr)

    The source is holm1979simple. NaN stays and does not count as a test.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, float)
    adjusted = np.full(values.shape, nan)
    order = np.argsort(values)[: int(np.isfinite(values).sum())]
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return [float(value) for value in adjusted]


def paired_differences(
    scores: Mapping[str, ArrayLike],
    patients: Sequence[str] | None = None,
    *,
    reference: str | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Difference]:
    r"""Differences of methods on the same images, with p-values corrected for their number.

    The p-value is that of a bootstrap test by patient: how often the resampled mean difference is as far from
    the observed one as the observed one is from zero,

    .. math:: p = \frac{1 + |\{b: |d^{*}_b - d| \ge |d|\}|}{1 + B}

    Args:
        scores: One array a method, over the same images.
        patients: Patient of each image; None: every image is one.
        reference: Compare every other method with this one; None: all pairs.
        pairs: Compare these instead, each the first minus the second.
        level: Confidence of the intervals, each by itself.
        resamples: Number of resamples, :math:`B`.
        seed: Seed of the draws.

    Returns:
        One entry a comparison; for a reference, the other method minus the reference.

    Raises:
        XiqaError: Arrays of different lengths, or an unknown reference.
    """
    names = list(scores)
    for name in (reference, *(name for pair in pairs or () for name in pair)):
        if name is not None and name not in names:
            raise XiqaError("unknown reference", expected=" or ".join(names), got=repr(name))
    if pairs is None and reference is None:
        pairs = list(combinations(names, 2))
    elif pairs is None:
        pairs = [(name, str(reference)) for name in names if name != reference]
    if not pairs:
        return []
    table = _table(scores)
    differences = np.stack([table[:, names.index(a)] - table[:, names.index(b)] for a, b in pairs], axis=1)
    draws = bootstrap_means(differences, patients, resamples=resamples, seed=seed)
    means = [_interval(differences[:, i], draws[:, i], level) for i in range(len(pairs))]
    p = [p_value(mean.value, draws[:, i]) for i, mean in enumerate(means)]
    return [
        Difference(first, second, mean, value, corrected)
        for (first, second), mean, value, corrected in zip(pairs, means, p, holm(p), strict=True)
    ]


def p_value(observed: float, draws: Floats) -> float:
    """How often a resampled difference is as far from the observed one as that is from zero."""
    draws = draws[np.isfinite(draws)]
    if not draws.size or np.isnan(observed):
        return nan
    # a hair of tolerance: equal differences must count as equal whatever the order of summation
    far = np.abs(draws - observed) >= abs(observed) - 1e-12
    return float((1 + far.sum()) / (1 + draws.size))


def rank_stability(
    scores: Mapping[str, ArrayLike],
    patients: Sequence[str] | None = None,
    *,
    higher_is_better: bool = True,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, RankStability]:
    """How firmly each method holds its rank when the patients are resampled.

    Args:
        scores: One array a method, over the same images.
        patients: Patient of each image; None: every image is one.
        higher_is_better: Direction of the score.
        level: Confidence of the ranks' intervals.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Raises:
        XiqaError: Arrays of different lengths.

    >>> rank_stability({"a": [1.0, 0.9], "b": [0.1, 0.2]})["a"].best
    1.0
    """
    table = _table(scores)
    sign = -1.0 if higher_is_better else 1.0
    draws = sign * bootstrap_means(table, patients, resamples=resamples, seed=seed)
    draws = draws[np.isfinite(draws).all(axis=1)]
    whole = sign * np.asarray([np.mean(c[np.isfinite(c)]) if np.isfinite(c).any() else nan for c in table.T])
    ranks, now = _ranks(draws), _ranks(whole[None])[0]
    low, high = np.quantile(ranks, [(1 - level) / 2, (1 + level) / 2], axis=0)
    best = (draws == draws.min(axis=1, keepdims=True)).mean(axis=0)
    return {
        name: RankStability(
            float(now[i]), float(low[i]), float(high[i]), float(best[i]), float(ranks[:, i].mean())
        )
        for i, name in enumerate(scores)
    }


def _ranks(values: Floats) -> Floats:
    """Ranks along rows, 1 for the smallest; ties share their mean."""
    from scipy.stats import rankdata  # noqa: PLC0415 - the module is imported by commands that need no ranks

    return np.asarray(rankdata(values, axis=1), float)
