"""Scores of single films, and what they come to: estimates with intervals by patient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from xiqa.errors import DatasetError
from xiqa.metrics.localisation.froc import froc_curve
from xiqa.models.calibration import calibration_error, reliability
from xiqa.models.card import Estimate, Evaluation, Localisation, Reliability

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from xiqa.metrics.localisation.froc import Candidate
    from xiqa.types import Annotation

__all__ = ["Scores", "interval_by_patient", "summarise"]

DRAWS = 1000


@dataclass(slots=True)
class Scores:
    """What was measured on each film; the lists run in parallel.

    Attributes:
        hits: For each method, ``(films, 4)``: a hit anywhere, on the thorax, on a compact object, and the
            recall over thoracic objects; NaN on films without such an object.
        found: For each method, the candidates of each film, for FROC.
        truths: The thoracic removable objects of each film.
    """

    patients: list[str] = field(default_factory=list)
    poor: list[bool] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    caught: list[bool] = field(default_factory=list)
    hits: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    found: dict[str, list[list[Candidate]]] = field(default_factory=dict)
    truths: list[list[Annotation]] = field(default_factory=list)


def summarise(scores: Scores, films: str, threshold: float, tolerance: float) -> Evaluation:
    """Estimates and 95 % intervals by patient of all that was measured."""
    poor = np.array(scores.poor)
    if poor.all() or not poor.any():
        raise DatasetError(f"cannot score on the {films} films", expected="poor and good films")
    probabilities = np.array(scores.probabilities)
    caught = np.array(scores.caught, dtype=float)
    called = probabilities >= threshold

    def estimate(statistic: Callable[[NDArray[np.int64]], float]) -> Estimate:
        return interval_by_patient(scores.patients, statistic)

    def mean_where(values: NDArray[np.float64]) -> Estimate | None:
        known = ~np.isnan(values)
        return estimate(lambda pick: _mean(values[pick][known[pick]])) if known.any() else None

    localisation = []
    for name, rows in scores.hits.items():
        columns = np.array(rows, dtype=float).T
        curve = froc_curve(scores.found[name], scores.truths)
        localisation.append(
            Localisation(
                method=name,
                anywhere=mean_where(columns[0]),
                thorax=mean_where(columns[1]),
                compact=mean_where(columns[2]),
                recall=mean_where(columns[3]),
                froc=estimate(
                    lambda pick, curve=curve: (  # type: ignore[misc]
                        curve.drawn(np.bincount(pick, minlength=len(poor))).mean_sensitivity()
                    )
                )
                if any(scores.truths)
                else None,
            )
        )
    return Evaluation(
        films=films,
        images=len(poor),
        poor=int(poor.sum()),
        patients=len(set(scores.patients)),
        auc=estimate(lambda pick: _auc(probabilities[pick], poor[pick])),
        sensitivity=estimate(lambda pick: _mean(called[pick][poor[pick]])),
        specificity=estimate(lambda pick: _mean(~called[pick][~poor[pick]])),
        calibration_error=estimate(lambda pick: calibration_error(probabilities[pick], poor[pick])),
        reliability=tuple(Reliability(**row._asdict()) for row in reliability(probabilities, poor)),
        tolerance=tolerance,
        localisation=tuple(localisation),
        guard_caught=estimate(lambda pick: _mean(caught[pick])),
    )


def interval_by_patient(
    patients: Sequence[str],
    statistic: Callable[[NDArray[np.int64]], float],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """A statistic of films with its 95 % percentile interval under resampling of patients.

    Films of one patient are alike, so whole patients are drawn with replacement (``field2007bootstrapping``).
    The percentiles of a measure that cannot be negative, such as a calibration error, are biased upwards.

    Args:
        patients: Whom each film shows.
        statistic: From indices of films to a number; NaN where a draw lacks what it needs.
        draws: How many.
        seed: Of the draws.

    Returns:
        The estimate.
    """
    groups: dict[str, list[int]] = {}
    for index, patient in enumerate(patients):
        groups.setdefault(patient, []).append(index)
    members = [np.array(indices) for indices in groups.values()]
    rng = np.random.default_rng(seed)
    values = np.empty(draws)
    for draw in range(draws):
        chosen = rng.integers(len(members), size=len(members))
        values[draw] = statistic(np.concatenate([members[index] for index in chosen]))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Estimate(value=float(statistic(np.arange(len(patients)))), low=float(low), high=float(high))


def _mean(values: NDArray[np.generic]) -> float:
    """The mean, NaN of nothing without a warning."""
    return float(values.mean()) if len(values) else float("nan")


def _auc(scores: NDArray[np.float64], poor: NDArray[np.bool_]) -> float:
    """Probability that a poor film scores above a good one, ties counted half."""
    positive, negative = scores[poor], np.sort(scores[~poor])
    if not len(positive) or not len(negative):
        return float("nan")
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / (2 * len(negative)))
