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
from xiqa.scoring.intervals import Bounds, Interval, mean_interval

__all__ = [
    "FEWEST",
    "Difference",
    "RankStability",
    "exchange_p",
    "holm",
    "mean_intervals",
    "paired_differences",
    "rank_stability",
    "sign_flip_p",
]

Floats = NDArray[np.float64]

FEWEST = 6
"""Patients of a test: with fewer, no choice of signs has a chance below 0.05."""

_EXACT = 2**14  # up to so many choices of signs all are gone through
_TIE = 1e-12  # sums that differ by rounding only are the same


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one method is than another, on the same images.

    Attributes:
        first: Name of the first method.
        second: Name of the second.
        mean: Mean of first minus second, with its interval.
        p: Two-sided p-value of no difference; NaN below `FEWEST` patients, where no test can hold its level.
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

    All but the rank are NaN for a single patient, whose resamples are all that patient.
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


def mean_intervals(
    scores: Mapping[str, ArrayLike],
    patients: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    bounds: Bounds = (0.0, 1.0),
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Each method's mean score with its bootstrap percentile interval, by patient.

    Args:
        scores: One array a method, over the same images.
        patients: Patient of each image; None: every image is one.
        level: Confidence.
        bounds: Smallest and largest possible score, for the exact interval of scores that are all at one of
            them (`xiqa.scoring.intervals.exact_ends`).
        resamples: Number of resamples.
        seed: Seed of the draws.

    Raises:
        XiqaError: Arrays of different lengths.

    >>> print(mean_intervals({"a": [1.0, 1.0, float("nan")]})["a"])
    1.000 [0.158, 1.000] (n = 2)
    """
    table = _table(scores)
    draws = bootstrap_means(table, patients, resamples=resamples, seed=seed)
    return {
        name: mean_interval(table[:, i], draws[:, i], patients, level=level, bounds=bounds)
        for i, name in enumerate(scores)
    }


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
    bounds: Bounds = (0.0, 1.0),
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Difference]:
    """Differences of methods on the same images, with p-values corrected for their number.

    The interval is the bootstrap's; the p-value is that of `sign_flip_p`, whose level holds at few patients,
    where a bootstrap test rejects too often.

    Args:
        scores: One array a method, over the same images.
        patients: Patient of each image; None: every image is one.
        reference: Compare every other method with this one; None: all pairs.
        pairs: Compare these instead, each the first minus the second.
        level: Confidence of the intervals, each by itself.
        bounds: Smallest and largest possible score.
        resamples: Number of resamples, and of random choices of signs.
        seed: Seed of the draws.

    Returns:
        One entry a comparison; for a reference, the other method minus the reference.

    Raises:
        XiqaError: Arrays of different lengths, or an unknown reference.
    """
    pairs = _pairs(list(scores), reference, pairs)
    if not pairs:
        return []
    columns = dict(zip(scores, _table(scores).T, strict=True))
    differences = np.stack([columns[first] - columns[second] for first, second in pairs], axis=1)
    draws = bootstrap_means(differences, patients, resamples=resamples, seed=seed)
    widest = bounds[0] - bounds[1], bounds[1] - bounds[0]
    means = [
        mean_interval(column, draws[:, i], patients, level=level, bounds=widest)
        for i, column in enumerate(differences.T)
    ]
    p = sign_flip_p(differences, patients, resamples=resamples, seed=seed)
    return [
        Difference(first, second, mean, value, corrected)
        for (first, second), mean, value, corrected in zip(pairs, means, p, holm(p), strict=True)
    ]


def _pairs(
    names: Sequence[str], reference: str | None, pairs: Sequence[tuple[str, str]] | None
) -> Sequence[tuple[str, str]]:
    """The comparisons to make."""
    for name in (reference, *(name for pair in pairs or () for name in pair)):
        if name is not None and name not in names:
            raise XiqaError("unknown reference", expected=" or ".join(names), got=repr(name))
    if pairs is not None:
        return pairs
    if reference is None:
        return list(combinations(names, 2))
    return [(name, reference) for name in names if name != reference]


def sign_flip_p(
    differences: Floats, patients: Sequence[str] | None = None, *, resamples: int = 10_000, seed: int = 0
) -> list[float]:
    r"""P-values of no difference between two methods, by flipping the signs of whole patients.

    If two methods are interchangeable on every patient, each patient's differences might as well have the
    opposite sign. With a patient's sum of differences :math:`D_g`,

    .. math:: p = P\Bigl(\Bigl|\sum_g \sigma_g D_g\Bigr| \ge \Bigl|\sum_g D_g\Bigr|\Bigr),
       \qquad \sigma_g = \pm 1

    over all choices of signs (fisher1935design), so that the level holds at any number of patients, whatever
    the distribution; with more than 14 patients over random choices, the observed one among them. Fewer than
    `FEWEST` patients have no choice of signs rarer than 0.05: no p-value.

    Args:
        differences: ``(images, comparisons)``; NaN is left out.
        patients: Patient of each image; None: every image is one.
        resamples: Random choices of signs.
        seed: Seed of the choices.

    Returns:
        One p-value a comparison, two-sided; NaN below `FEWEST` patients.

    >>> sign_flip_p(np.array([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]))
    [0.03125]
    """
    numbers, count = patient_numbers(patients, len(differences))
    defined = np.isfinite(differences)
    sums = np.zeros((count, differences.shape[1]))
    np.add.at(sums, numbers, np.where(defined, differences, 0.0))
    seen = [len(np.unique(numbers[column])) for column in defined.T]
    choices, exact = _choices(count, _EXACT, resamples, seed)
    reached = np.abs((1.0 - 2.0 * choices) @ sums) >= np.abs(sums.sum(axis=0)) - _TIE * np.abs(sums).sum(
        axis=0
    )
    return [
        _share(int(far), len(choices), exact) if few >= FEWEST else nan
        for far, few in zip(reached.sum(axis=0), seen, strict=True)
    ]


def _choices(patients: int, most: int, resamples: int, seed: int) -> tuple[NDArray[np.bool_], bool]:
    """Which patients are exchanged, ``(choices, patients)``: all choices where they are few, else random."""
    if 2**patients <= most:
        return (np.arange(2**patients)[:, None] >> np.arange(patients) & 1).astype(bool), True
    return np.random.default_rng(seed).integers(0, 2, (resamples, patients)).astype(bool), False


def _share(reached: int, choices: int, exact: bool) -> float:
    """The share of choices that reach what was observed, which itself is one of them."""
    return reached / choices if exact else (1 + reached) / (1 + choices)


def exchange_p(
    statistic: Callable[[Floats, NDArray[np.intp]], float],
    first: ArrayLike,
    second: ArrayLike,
    patients: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> float:
    """The p-value of no difference of a whole set's statistic, by exchanging two methods on whole patients.

    What `sign_flip_p` is for means: if two methods are interchangeable on every patient, the difference of
    their statistics might as well come from any exchange of their scores (venkatraman1996comparing exchange
    ranks for ROC curves).

    Args:
        statistic: The value of scores ``(n,)`` on the images of these indices.
        first: ``(images,)`` scores of one method; NaN is left out, of the other one too.
        second: Those of the other.
        patients: Patient of each image.
        resamples: Random exchanges, where not all are gone through.
        seed: Seed of the exchanges.

    Returns:
        Two-sided p-value; NaN below `FEWEST` patients, or where the statistic is not defined.
    """
    pair = np.stack([np.asarray(first, float), np.asarray(second, float)])
    known = np.flatnonzero(np.isfinite(pair).all(axis=0))
    numbers, count = patient_numbers([patients[place] for place in known.tolist()], len(known))
    if count < FEWEST:
        return nan
    choices, exact = _choices(count, resamples, resamples, seed)
    both = pair[:, known]

    def difference(exchanged: NDArray[np.bool_]) -> float:
        swapped = np.where(exchanged[numbers], both[::-1], both)
        return statistic(swapped[0], known) - statistic(swapped[1], known)

    observed = difference(np.zeros(count, dtype=bool))
    if np.isnan(observed):
        return nan
    reached = sum(abs(difference(choice)) >= abs(observed) - _TIE for choice in choices)
    return _share(reached, len(choices), exact)


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
    if patient_numbers(patients, len(table))[1] < 2:
        return {name: RankStability(float(now[i]), nan, nan, nan, nan) for i, name in enumerate(scores)}
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
