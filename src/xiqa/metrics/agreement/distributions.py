"""Two maps compared as distributions of attention."""

from __future__ import annotations

from math import inf, nan

import numpy as np

from xiqa.metrics.agreement.correlation import same_grid
from xiqa.metrics.arguments import Map
from xiqa.metrics.registry import Cases, metric
from xiqa.metrics.scales import as_distribution

__all__ = ["kl_divergence", "similarity"]

_EPSILON = float(np.finfo(float).eps)


_CASES: Cases = {
    "constant": "that of the uniform distribution; NaN for a map without positive values",
    "no_truth": nan,
    "full_truth": "the uniform distribution is the reference",
}


@metric(
    "similarity",
    "agreement",
    higher_is_better=True,
    bounds=(0, 1),
    truth="map",
    cite="bylinskii2019metrics",
    cases=_CASES,
)
def similarity(a: Map, b: Map) -> float:
    r"""How much of two maps' attention is shared, called SIM or histogram intersection.

    .. math:: \mathrm{SIM} = \sum_i \min(p_i, q_i), \qquad p = a^+ / \textstyle\sum a^+,\
       q = b^+ / \textstyle\sum b^+

    **Pitfalls.** Missing attention costs more than spread attention, so blurred maps fare well. Negative
    values are dropped.

    **Variants.** `kl_divergence` weighs missing attention far more.

    Args:
        a: ``(H, W)``.
        b: ``(H, W)``.

    Returns:
        In [0, 1]; NaN for a map without positive values, or not finite.

    Raises:
        MetricError: The maps have different sizes.

    >>> similarity(np.array([[1.0, 1.0, 0.0]]), np.array([[0.0, 1.0, 1.0]]))
    0.5
    """
    same_grid(a, b)
    p, q = as_distribution(a), as_distribution(b)
    return nan if p is None or q is None else float(np.minimum(p, q).sum())


@metric(
    "kl_divergence",
    "agreement",
    higher_is_better=False,
    bounds=(0, inf),
    truth="map",
    cite="bylinskii2019metrics",
    cases=_CASES,
)
def kl_divergence(a: Map, b: Map) -> float:
    r"""The information lost when the map stands for the reference.

    .. math:: D(q \,\|\, p) = \sum_i q_i \log\Bigl(\epsilon + \frac{q_i}{\epsilon + p_i}\Bigr)

    with the map :math:`p` and the reference :math:`q` as distributions and the machine's
    :math:`\epsilon = 2.2 \cdot 10^{-16}`.

    **Pitfalls.** Not symmetric: the first argument is judged by the second. One place of the reference that
    the map leaves at zero costs up to 36 times its share.

    **Variants.** In nats. :math:`\epsilon` is the source's; another one gives other values for sparse maps.

    Args:
        a: The map, ``(H, W)``.
        b: The reference, ``(H, W)``.

    Returns:
        Nats, 0 for equal distributions; NaN for a map without positive values, or not finite.

    Raises:
        MetricError: The maps have different sizes.
    """
    same_grid(a, b)
    p, q = as_distribution(a), as_distribution(b)
    if p is None or q is None:
        return nan
    return max(0.0, float((q * np.log(_EPSILON + q / (_EPSILON + p))).sum()))
