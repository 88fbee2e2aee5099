"""How concentrated a map is, whatever it shows."""

from __future__ import annotations

from math import log, nan

import numpy as np

from xiqa.metrics.arguments import Map, Share
from xiqa.metrics.registry import metric

__all__ = ["effective_complexity", "entropy", "gini"]


def _magnitudes(saliency: Map) -> Map | None:
    """Absolute values; None for a map of zeros or one that is not finite."""
    magnitudes = np.abs(saliency.astype(float)).ravel()
    return magnitudes if np.isfinite(magnitudes).all() and magnitudes.any() else None


@metric(
    "gini",
    "complexity",
    higher_is_better=True,
    bounds=(0, 1),
    cite="chalasani2020concise",
    cases={"constant": "0; NaN for a map of zeros"},
)
def gini(saliency: Map) -> float:
    r"""Gini index of the magnitudes: 0 when all pixels matter alike, near 1 when one pixel has everything.

    .. math:: G = 1 - 2 \sum_{k=1}^{N} \frac{|v|_{(k)}}{\lVert v \rVert_1} \cdot \frac{N - k + \tfrac12}{N}

    with magnitudes in rising order.

    **Pitfalls.** Concentrated is not right. A map enlarged from a coarse layer and its layer map differ a
    little.

    **Variants.** Called sparseness elsewhere. Signs are dropped.

    Args:
        saliency: ``(H, W)``.

    Returns:
        In [0, 1 - 1/N]; NaN for a map of zeros or one that is not finite.

    >>> gini(np.array([[0.0, 0.0, 0.0, 7.0]]))
    0.75
    """
    magnitudes = _magnitudes(saliency)
    if magnitudes is None:
        return nan
    ordered, count = np.sort(magnitudes), magnitudes.size
    ordered = ordered / ordered[-1]
    weights = (count - np.arange(1, count + 1) + 0.5) / count
    return max(0.0, float(1 - 2 * (ordered * weights).sum() / ordered.sum()))


@metric(
    "entropy",
    "complexity",
    higher_is_better=False,
    bounds=(0, 1),
    cite="bhatt2020evaluating",
    cases={"constant": "1; NaN for a map of zeros"},
)
def entropy(saliency: Map, *, normalised: bool = True) -> float:
    r"""Entropy of each pixel's share of the magnitudes.

    .. math:: H = -\sum_i p_i \log p_i, \qquad p_i = |v_i| / \textstyle\sum_j |v_j|

    **Pitfalls.** As for `gini`: low is concentrated, not right.

    **Variants.** ``normalised`` divides by :math:`\log N`, so that maps of different sizes compare; the
    source's complexity is in nats, ``normalised=False``.

    Args:
        saliency: ``(H, W)``.
        normalised: Whether to divide by the entropy of a constant map.

    Returns:
        In [0, 1], or nats; NaN for a map of zeros or one that is not finite.

    >>> entropy(np.array([[0.0, 3.0, 3.0, 0.0]]))
    0.5
    """
    magnitudes = _magnitudes(saliency)
    if magnitudes is None or (normalised and magnitudes.size == 1):
        return nan
    shares = magnitudes / magnitudes.max()
    shares = shares[shares > 0] / shares.sum()
    nats = max(0.0, float(-(shares * np.log(shares)).sum()))
    return nats / log(magnitudes.size) if normalised else nats


@metric(
    "effective_complexity",
    "complexity",
    higher_is_better=False,
    bounds=(0, 1),
    cite="nguyen2020quantitative",
    cases={"constant": "1; NaN for a map of zeros"},
)
def effective_complexity(saliency: Map, *, threshold: Share = 0.1) -> float:
    r"""The share of pixels that the map says matter.

    .. math:: \frac{1}{N} \bigl|\{i: |v_i| > \epsilon \max_j |v_j|\}\bigr|

    **Pitfalls.** It depends on the threshold, and on outliers through the maximum.

    **Variants.** The source asks for the fewest pixels that fix the score within a tolerance, which needs the
    network: `insertion` reads that. This is the count over a threshold that libraries give under the name,
    relative to the maximum so that it does not depend on the map's scale.

    Args:
        saliency: ``(H, W)``.
        threshold: :math:`\epsilon`, a share of the largest magnitude.

    Returns:
        In [0, 1]; NaN for a map of zeros or one that is not finite.

    >>> effective_complexity(np.array([[0.0, 0.05, -1.0, 0.5]]))
    0.5
    """
    magnitudes = _magnitudes(saliency)
    return nan if magnitudes is None else float(np.mean(magnitudes > threshold * magnitudes.max()))
