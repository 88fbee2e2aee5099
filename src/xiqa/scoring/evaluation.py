"""Scores of single images, and what they come to: estimates with intervals by patient, FROC of verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, nan
from typing import TYPE_CHECKING

import numpy as np

from xiqa.errors import DatasetError
from xiqa.metrics.localisation.froc import froc_curve
from xiqa.metrics.roc import roc_auc
from xiqa.models.card import Estimate, Evaluation, Localisation
from xiqa.scoring.bootstrap import bootstrap_means
from xiqa.scoring.calibration import calibration_error, reliability
from xiqa.scoring.intervals import Interval, independent_pairs, mean_interval, statistic_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xiqa.metrics.localisation.froc import Candidate
    from xiqa.types import Annotation

__all__ = ["RECALL", "Scores", "auc_interval", "summarise"]

RESAMPLES = 1000
RECALL = "recall"


@dataclass(slots=True)
class Scores:
    """What was measured on each image; the lists run in parallel.

    Attributes:
        hits: For each method, a row an image: by group of objects whether the peak lies on one of them, and
            under `RECALL` the share of problems that get a peak; NaN on images without such an object.
        found: For each method, the candidates of each image, for FROC.
        truths: The problems of each image.
    """

    patients: list[str] = field(default_factory=list)
    poor: list[bool] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    caught: list[bool] = field(default_factory=list)
    hits: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    found: dict[str, list[list[Candidate]]] = field(default_factory=dict)
    truths: list[list[Annotation]] = field(default_factory=list)


def summarise(scores: Scores, name: str, threshold: float, tolerance: float) -> Evaluation:
    """Estimates and 95 % intervals by patient of all that was measured.

    Raises:
        DatasetError: All images are poor, or none is.
    """
    poor = np.array(scores.poor)
    if poor.all() or not poor.any():
        raise DatasetError(f"cannot score on the {name} images", expected="poor and good images")
    probabilities = np.array(scores.probabilities)
    called = (probabilities >= threshold).astype(float)
    sensitivity, specificity, caught = _means(
        [np.where(poor, called, nan), np.where(poor, nan, 1 - called), np.array(scores.caught, float)],
        scores.patients,
    )
    error = statistic_interval(
        lambda pick: calibration_error(probabilities[pick], poor[pick]), scores.patients, bounds=(-inf, inf)
    )
    return Evaluation(
        name=name,
        images=len(poor),
        poor=int(poor.sum()),
        patients=len(set(scores.patients)),
        auc=auc_interval(probabilities, poor, scores.patients).estimate(),
        sensitivity=sensitivity.estimate(),
        specificity=specificity.estimate(),
        calibration_error=error.estimate(),
        reliability=reliability(probabilities, poor),
        tolerance=tolerance,
        localisation=tuple(_localisation(name, scores) for name in scores.hits),
        guard_caught=caught.estimate(),
    )


def auc_interval(
    scores: NDArray[np.float64], poor: NDArray[np.bool_], patients: Sequence[str], *, seed: int = 0
) -> Interval:
    """The AUC with its 95 % interval by patient.

    Where poor and good are told apart without an error, the interval is exact over pairs of a poor and a good
    image that share no patient with any other pair: so many independent comparisons were all right.
    """
    return statistic_interval(
        lambda pick: roc_auc(scores[pick], poor[pick]),
        patients,
        resamples=RESAMPLES,
        seed=seed,
        trials=independent_pairs(poor, patients),
    )


def _means(columns: Sequence[NDArray[np.float64]], patients: Sequence[str]) -> list[Interval]:
    """Means of images' values with their intervals."""
    draws = bootstrap_means(np.stack(columns, axis=1), patients, resamples=RESAMPLES)
    return [mean_interval(column, draws[:, place], patients) for place, column in enumerate(columns)]


def _localisation(method: str, scores: Scores) -> Localisation:
    """What a method's peaks hit, and FROC of them as verdicts on places."""
    rows = scores.hits[method]
    names = list(dict.fromkeys(name for row in rows for name in row))
    means = _means([np.array([row.get(name, nan) for row in rows]) for name in names], scores.patients)
    hits = {name: mean.estimate() if mean.images else None for name, mean in zip(names, means, strict=True)}
    return Localisation(
        method=method,
        recall=hits.pop(RECALL, None),
        groups=hits,
        froc=_froc(method, scores) if any(scores.truths) else None,
    )


def _froc(method: str, scores: Scores) -> Estimate:
    curve = froc_curve(scores.found[method], scores.truths)
    images = len(scores.truths)
    shown = {patient for patient, truth in zip(scores.patients, scores.truths, strict=True) if truth}
    return statistic_interval(
        lambda pick: curve.drawn(np.bincount(pick, minlength=images)).mean_sensitivity(),
        scores.patients,
        trials=len(shown),
    ).estimate()
