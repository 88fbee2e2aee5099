r"""Whether a site's scores and guard distances have moved from a card's reference.

How many images are poor differs from site to site, and is no drift. So the results are compared with the
mixture of the reference's good and poor images that fits them best:

.. math:: D = \min_{\pi} \max_x \bigl| \hat F(x) - (1 - \pi) \hat G(x) - \pi \hat P(x) \bigr|

with the empirical distribution functions of the results, the good and the poor, at the reference's values.
How large it becomes by chance alone is drawn from the fitted mixture, reference and results anew each time (a
parametric bootstrap of the Kolmogorov-Smirnov statistic, ``stute1993bootstrap``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from xiqa.errors import MetricError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from xiqa.models.card import Reference

__all__ = ["FEWEST", "Drift", "drift_from", "drifts"]

FEWEST = 30
"""Images below which nothing is said."""

SHARES = np.linspace(0, 1, 41)


@dataclass(frozen=True, slots=True)
class Drift:
    """One measure compared with the reference.

    Attributes:
        measure: ``probability`` or ``distance``.
        images: How many results there are.
        statistic: :math:`D`, in [0, 1].
        expected: The 95th percentile of what chance gives.
        p_value: Share of the draws with at least this statistic.
        poor: Share of poor images of the mixture that fits best, and the middle 95 % of what is drawn from
            it.
        median: Of the results, with its exact 95 % interval.
        reference_median: Of the fitted mixture.
        moved: Whether the p-value is below the level.
    """

    measure: str
    images: int
    statistic: float
    expected: float
    p_value: float
    poor: tuple[float, float, float]
    median: tuple[float, float, float]
    reference_median: float
    moved: bool


def drift_from(
    values: ArrayLike,
    good: Sequence[float],
    poor: Sequence[float],
    measure: str,
    *,
    level: float = 0.01,
    draws: int = 999,
    seed: int = 0,
) -> Drift:
    """Compare results with a reference.

    Args:
        values: ``(N,)`` of independent images: one a study.
        good: The reference's good images.
        poor: Its poor ones.
        measure: Name.
        level: False alarms allowed.
        draws: How often the reference and the results are drawn anew.
        seed: Of the draws.

    Raises:
        MetricError: Fewer images than `FEWEST`, no reference, or fewer draws than the level needs.
    """
    results = np.sort(np.asarray(values, dtype=np.float64))
    if len(results) < FEWEST or not len(good) or not len(poor):
        raise MetricError(
            f"too few images to tell whether the {measure} has moved",
            expected=f"{FEWEST} or more results, and good and poor images in the reference",
            got=f"{len(results)} results, {len(good)} good and {len(poor)} poor",
        )
    if (draws + 1) * level < 1:
        raise MetricError(
            "too few draws for this level", expected=f"{int(np.ceil(1 / level))} or more", got=str(draws)
        )
    atoms = np.unique(np.concatenate((good, poor)))
    functions = _cumulative(good, atoms), _cumulative(poor, atoms)
    statistic, share = _fit(_cumulative(results, atoms)[None], *(part[None] for part in functions))
    masses = [np.diff(part, prepend=0.0) for part in functions]
    mixture = (1 - share[0]) * masses[0] + share[0] * masses[1]
    rng = np.random.default_rng(seed)
    drawn = [
        np.cumsum(rng.multinomial(count, mass / mass.sum(), draws) / count, axis=1)
        for count, mass in ((len(results), mixture), (len(good), masses[0]), (len(poor), masses[1]))
    ]
    chance, shares = _fit(*drawn)
    p_value = float((1 + (chance >= statistic[0] - 1e-12).sum()) / (draws + 1))
    middle = int(np.searchsorted(np.cumsum(mixture), 0.5 - 1e-12))
    low, high = np.quantile(shares, [0.025, 0.975])
    return Drift(
        measure=measure,
        images=len(results),
        statistic=float(statistic[0]),
        expected=float(np.quantile(chance, 0.95)),
        p_value=p_value,
        poor=(float(share[0]), float(low), float(high)),
        median=_median(results),
        reference_median=float(atoms[min(middle, len(atoms) - 1)]),
        moved=p_value <= level,
    )


def drifts(
    reference: Reference, probabilities: ArrayLike, distances: ArrayLike | None, *, level: float = 0.01
) -> list[Drift]:
    """Compare probabilities and distances with a card's reference, at a level that holds for both together.

    Args:
        reference: The card's.
        probabilities: ``(N,)`` calibrated, one a study.
        distances: ``(N,)`` of the guard; None without one.
        level: False alarms allowed a look.

    Returns:
        One `Drift` a measure; the level is shared out evenly (Bonferroni).
    """
    told = [("probability", probabilities, reference.good, reference.poor)]
    if distances is not None and reference.good_distances and reference.poor_distances:
        told.append(("distance", distances, reference.good_distances, reference.poor_distances))
    return [
        drift_from(values, good, poor, name, level=level / len(told), draws=max(999, int(10 / level)))
        for name, values, good, poor in told
    ]


def _cumulative(values: ArrayLike, atoms: NDArray[np.float64]) -> NDArray[np.float64]:
    """The empirical distribution function at the atoms."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    return np.searchsorted(ordered, atoms, side="right") / len(ordered)


def _fit(
    results: NDArray[np.float64], good: NDArray[np.float64], poor: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The smallest distance ``(B,)`` over the mixtures, and the share of poor images that gives it."""
    distance = np.stack([np.abs(results - (1 - share) * good - share * poor).max(axis=1) for share in SHARES])
    best = distance.argmin(axis=0)
    return distance[best, np.arange(distance.shape[1])], SHARES[best]


def _median(ordered: NDArray[np.float64]) -> tuple[float, float, float]:
    """The median and its exact 95 % interval by order statistics; every continuous distribution keeps it."""
    count = len(ordered)
    rank = int(binom.ppf(0.025, count, 0.5))  # P(Bin < rank) <= 0.025
    low, high = max(rank - 1, 0), min(count - rank, count - 1)
    return float(np.median(ordered)), float(ordered[low]), float(ordered[high])
