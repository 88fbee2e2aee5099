"""Probabilities that mean what they say, and a threshold with a stated sensitivity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit, log_softmax, logsumexp

from xiqa.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "band_around",
    "fit_beta",
    "fit_platt",
    "fit_temperature",
    "probability_of",
    "require_enough",
    "threshold_at_sensitivity",
]

Beta = tuple[float, float, float]
IDENTITY: Beta = (1.0, 1.0, 0.0)


def probability_of(
    logits: ArrayLike, index: int, temperature: float = 1.0, beta: Beta = IDENTITY
) -> NDArray[np.float64]:
    r"""Calibrated probability of one class.

    .. math:: p_c = \mathrm{softmax}(z / T)_c, \qquad
        q_c = \sigma\big(a \log p_c - b \log(1 - p_c) + c\big)

    Args:
        logits: ``(N, K)``; with one column, class 1 is :math:`\sigma(z / T)`.
        index: The class.
        temperature: :math:`T > 0`.
        beta: (a, b, c) with a, b > 0; (1, 1, 0) leaves the probability as it is.

    Returns:
        ``(N,)`` probabilities.

    >>> probability_of([[0.0, 2.0]], 1, temperature=2.0).round(3).tolist()
    [0.731]
    """
    logs = log_softmax(_two_sided(logits) / temperature, axis=1)
    others = logsumexp(np.delete(logs, index, axis=1), axis=1)
    a, b, c = beta
    return np.asarray(expit(a * logs[:, index] - b * others + c), dtype=np.float64)


FEWEST = 4
"""Images of either quality below which nothing can be calibrated: the smoothed targets of `fit_platt` would
then vouch for less than 5/6, and a temperature runs to an end of its range."""


def require_enough(outcomes: ArrayLike) -> None:
    """Refuse to calibrate on too few images.

    Args:
        outcomes: ``(N,)`` of 0 and 1, whether the image is poor.

    Raises:
        ModelError: There are fewer than `FEWEST` good or poor ones.
    """
    poor = np.asarray(outcomes, dtype=bool)
    counts = {"good": int((~poor).sum()), "poor": int(poor.sum())}
    if min(counts.values()) < FEWEST:
        raise ModelError(
            "too few validation images to calibrate on",
            expected=f"at least {FEWEST} good and {FEWEST} poor ones, better 50 of each",
            got=f"{counts['good']} good and {counts['poor']} poor",
            todo="add images to the validation split",
        )


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    r"""The temperature that makes held-out labels most likely.

    .. math:: \hat T = \arg\min_T -\sum_n \log \mathrm{softmax}(z_n / T)_{y_n}

    One number cannot change the order of the images, only how sure the network sounds. Source:
    ``guo2017calibration``; here the minimum is searched on :math:`\log T` within [-4, 4].

    Args:
        logits: ``(N, K)`` of images that were not trained on.
        labels: ``(N,)`` classes.

    Returns:
        The temperature.

    Raises:
        ModelError: There are no images, or only one class among them.
    """
    scores, classes = _two_sided(logits), np.asarray(labels, dtype=np.int64)
    if len(np.unique(classes)) < 2:
        raise ModelError("cannot fit a temperature", expected="images of two classes or more")

    def loss(log_temperature: float) -> float:
        logs = log_softmax(scores / np.exp(log_temperature), axis=1)
        return -float(logs[np.arange(len(classes)), classes].mean())

    best = minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x))


def fit_platt(margins: ArrayLike, outcomes: ArrayLike) -> tuple[float, float]:
    r"""Temperature and shift that make held-out outcomes most likely, :math:`p = \sigma((m + s) / T)`.

    .. math:: (\hat T, \hat s) = \arg\min -\sum_n \big[ t_n \log p_n + (1 - t_n) \log(1 - p_n) \big]

    with the smoothed targets :math:`t = (n_+ + 1)/(n_+ + 2)` for a poor image and :math:`1/(n_- + 2)` for a
    good one, so that images that can be told apart perfectly do not call for infinite certainty. Where a
    temperature alone cannot move the point of even odds, the shift can. Source: ``platt1999probabilistic``.

    Args:
        margins: ``(N,)``: logit of the poor class less that of the good one.
        outcomes: ``(N,)`` of 0 and 1, whether the image is poor.

    Returns:
        Temperature and shift.

    Raises:
        ModelError: All images have the same outcome.
    """
    values, targets = np.asarray(margins, dtype=np.float64), _smoothed(np.asarray(outcomes, dtype=bool))
    spread = float(values.std()) or 1.0

    def loss(numbers: NDArray[np.float64]) -> float:
        slope, offset = numbers
        scores = slope * values / spread + offset
        return -float((targets * log_expit(scores) + (1 - targets) * log_expit(-scores)).mean())

    slope, offset = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
    if slope <= 0:
        raise ModelError("cannot calibrate", expected="higher scores for poorer images", got="lower ones")
    return float(spread / slope), float(offset * spread / slope)


def fit_beta(probabilities: ArrayLike, outcomes: ArrayLike) -> Beta:
    r"""The monotone map of probabilities that makes held-out outcomes most likely.

    .. math:: q = \sigma\big(a \log p - b \log(1 - p) + c\big), \qquad a, b > 0

    Where a sigmoid's scores pile up at one end (good images all say "nothing found" alike), one slope for
    both ends is not enough: here each has its own. The targets are smoothed as in `fit_platt`. Source:
    ``kull2017beta``.

    Args:
        probabilities: ``(N,)`` of the poor class, in [0, 1].
        outcomes: ``(N,)`` of 0 and 1, whether the image is poor.

    Returns:
        (a, b, c).

    Raises:
        ModelError: All images have the same outcome.
    """
    predicted = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-12, 1 - 1e-12)
    targets = _smoothed(np.asarray(outcomes, dtype=bool))
    low, high = np.log(predicted), -np.log1p(-predicted)

    def loss(numbers: NDArray[np.float64]) -> float:
        scores = np.exp(numbers[0]) * low + np.exp(numbers[1]) * high + numbers[2]
        return -float((targets * log_expit(scores) + (1 - targets) * log_expit(-scores)).mean())

    a, b, c = minimize(loss, np.zeros(3), method="L-BFGS-B", bounds=[(-4, 4), (-4, 4), (-20, 20)]).x
    return float(np.exp(a)), float(np.exp(b)), float(c)


def threshold_at_sensitivity(probabilities: ArrayLike, outcomes: ArrayLike, sensitivity: float) -> float:
    """The highest threshold at which at least this share of the poor images is found.

    An image counts as poor from the threshold on (``p >= threshold``).

    Args:
        probabilities: ``(N,)`` of the poor class.
        outcomes: ``(N,)`` of 0 and 1.
        sensitivity: Wanted, in (0, 1].

    Returns:
        The threshold: halfway to the next lower probability of any image, so that rounding moves no image.

    Raises:
        ModelError: No image is poor.

    >>> threshold_at_sensitivity([0.9, 0.8, 0.4, 0.3, 0.1], [1, 1, 1, 0, 0], 0.66)
    0.6
    """
    predicted, poor = np.asarray(probabilities, dtype=float), np.asarray(outcomes, dtype=bool)
    if not poor.any():
        raise ModelError("cannot choose a threshold", expected="at least one poor image")
    ordered = np.sort(predicted[poor])[::-1]
    lowest = ordered[int(np.ceil(sensitivity * len(ordered) - 1e-9)) - 1]
    below = predicted[predicted < lowest]
    return float(round((lowest + (below.max() if len(below) else 0.0)) / 2, 6))


def band_around(threshold: float, half_width: float) -> tuple[float, float]:
    r"""The probabilities ``half_width`` away from a threshold on the log-odds scale, on either side.

    .. math:: \sigma(\log\frac{t}{1 - t} \pm w)

    >>> [round(p, 3) for p in band_around(0.5, 1.0)]
    [0.269, 0.731]
    """
    odds = threshold / (1 - threshold)
    low, high = odds * np.exp(-half_width), odds * np.exp(half_width)
    return float(low / (1 + low)), float(high / (1 + high))


def _smoothed(poor: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Targets that a finite number of images can vouch for, of `fit_platt`."""
    count = int(poor.sum())
    if count in (0, len(poor)):
        raise ModelError("cannot calibrate", expected="images of both classes")
    return np.where(poor, (count + 1) / (count + 2), 1 / (len(poor) - count + 2))


def _two_sided(logits: ArrayLike) -> NDArray[np.float64]:
    """Logits ``(N, K)``, ``K >= 2``: one sigmoid logit becomes the pair (0, z)."""
    scores = np.asarray(logits, dtype=np.float64)
    return np.column_stack((np.zeros(len(scores)), scores)) if scores.shape[1] == 1 else scores
