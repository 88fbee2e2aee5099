"""Calibration at a site: slope and shift of the log-odds, and a threshold with a promised sensitivity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_expit

from xiqa.errors import ModelError
from xiqa.scoring.tolerance import fewest_trials, lower_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["SiteFit", "fit_log_odds", "fit_site", "require_patients"]

SLOPE_SPREAD, SHIFT_SPREAD = 0.5, 2.0
"""Standard deviations of the prior: how far other hospitals' log slope and shift may be expected from none.
The first one measured had a slope of 1.47."""


@dataclass(frozen=True, slots=True)
class SiteFit:
    """What a site's images say.

    Attributes:
        slope: The log-odds are multiplied by it, and then
        shift: added to this.
        threshold: Log-odds, after both, from which an image is poor.
    """

    slope: float
    shift: float
    threshold: float

    def apply(self, log_odds: ArrayLike) -> NDArray[np.float64]:
        """The site's log-odds of the model's."""
        return self.slope * np.asarray(log_odds, dtype=np.float64) + self.shift


def require_patients(poor: Sequence[bool], patients: Sequence[str], sensitivity: float, good: int) -> None:
    """Refuse a site's images when they are too few.

    Args:
        poor: ``(N,)``.
        patients: Whom each image shows.
        sensitivity: Promised; see `fit_site`.
        good: How many patients with a good image are needed.

    Raises:
        ModelError: With how many of each are there, and how many are needed.
    """
    found = {
        kind: len({name for name, bad in zip(patients, poor, strict=True) if bad == kind})
        for kind in (True, False)
    }
    needed = {True: fewest_trials(sensitivity), False: good}
    if any(found[kind] < needed[kind] for kind in found):
        raise ModelError(
            "too few images to calibrate on",
            expected=f"images of {needed[True]} patients with poor quality (for a sensitivity of "
            f"{sensitivity:g}) and of {needed[False]} with good quality",
            got=f"{found[True]} and {found[False]}",
            todo="collect more, or promise less with --sensitivity",
        )


def fit_log_odds(log_odds: ArrayLike, poor: ArrayLike, patients: Sequence[str]) -> tuple[float, float]:
    r"""Slope and shift that make a site's outcomes most likely, held back by what is usual.

    .. math:: (\hat\alpha, \hat\beta) = \arg\max \sum_n w_n \log p(y_n \mid \alpha \ell_n + \beta)
        - \frac{\log^2 \alpha}{2 \sigma_\alpha^2} - \frac{\beta^2}{2 \sigma_\beta^2}

    with every patient's images weighing 1 together. Few images, or such as are told apart without an error,
    hardly move the log-odds; many are believed. Source: ``platt1999probabilistic``, with a normal prior.

    Args:
        log_odds: ``(N,)`` of the model.
        poor: ``(N,)`` of 0 and 1.
        patients: Whom each image shows.

    Returns:
        :math:`\alpha > 0` and :math:`\beta`.
    """
    scores, sign = np.asarray(log_odds, float), np.where(np.asarray(poor, dtype=bool), 1.0, -1.0)
    _, number, counts = np.unique(np.asarray(patients), return_inverse=True, return_counts=True)
    weight = 1 / counts[number]

    def loss(numbers: NDArray[np.float64]) -> float:
        logs = log_expit(sign * (np.exp(numbers[0]) * scores + numbers[1]))
        prior = (numbers[0] / SLOPE_SPREAD) ** 2 + (numbers[1] / SHIFT_SPREAD) ** 2
        return float(prior / 2 - (weight * logs).sum())

    log_slope, shift = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(-3, 3), (-20, 20)]).x
    return float(np.exp(log_slope)), float(shift)


def fit_site(
    log_odds: ArrayLike, poor: ArrayLike, patients: Sequence[str], *, sensitivity: float = 0.9
) -> SiteFit:
    """Slope, shift and threshold of a site.

    The threshold is the highest at which, with a confidence of 95 %, at least this share of the patients
    whose images are poor is found (`xiqa.scoring.tolerance.lower_limit`). A patient counts once, by the poor
    image that is hardest to find.

    Args:
        log_odds: ``(N,)`` of the model, at its shipped calibration.
        poor: ``(N,)`` of 0 and 1.
        patients: Whom each image shows.
        sensitivity: Promised, in (0, 1).

    Returns:
        The fit.

    Raises:
        MetricError: Too few patients with poor images; `require_patients` says how many.
    """
    scores, outcome = np.asarray(log_odds, dtype=np.float64), np.asarray(poor, dtype=bool)
    hardest: dict[str, float] = {}
    for name, score in zip(np.asarray(patients)[outcome].tolist(), scores[outcome].tolist(), strict=True):
        hardest[name] = min(score, hardest.get(name, np.inf))
    limit = lower_limit(list(hardest.values()), sensitivity)
    below = scores[scores < limit]  # halfway to the next image, so that rounding moves none
    between = (limit + below.max()) / 2 if len(below) else limit - 1.0
    slope, shift = fit_log_odds(scores, outcome, patients)
    return SiteFit(slope, shift, float(slope * between + shift))
