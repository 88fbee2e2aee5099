"""How many of the highest pixels lie on the annotated objects."""

from __future__ import annotations

from math import nan
from typing import Annotated, Any

import numpy as np

from xiqa.metrics.arguments import Map, Rule
from xiqa.metrics.registry import Cases, metric
from xiqa.metrics.truth import Shape, Truth, union_mask
from xiqa.types import MaskArray

__all__ = ["relevance_rank_accuracy", "top_k_intersection"]


def _read_size(k: Any) -> Any:
    whole = isinstance(k, (int, np.integer)) or float(k).is_integer()
    if isinstance(k, bool) or not (k > 0 and (k < 1 or whole)):
        raise ValueError
    return k


Size = Annotated[float, Rule("a number of pixels, or a share in (0, 1)", _read_size)]

_CASES: Cases = {
    "no_truth": nan,
    "full_truth": 1.0,
    "constant": "the objects' share of the image",
    "non_finite": 0.0,
    "ties": "the mean over every order of the pixels that tie",
}


@metric(
    "relevance_rank_accuracy",
    "localisation",
    higher_is_better=True,
    bounds=(0, 1),
    truth="objects",
    cite="arras2022clevr",
    cases=_CASES,
)
def relevance_rank_accuracy(saliency: Map, truth: Truth, *, shape: Shape = "exact") -> float:
    r"""The share of objects' pixels among as many highest pixels as the objects have.

    .. math:: \frac{|\mathrm{top}_K(S) \cap T|}{K}, \qquad K = |T|

    **Pitfalls.** A map of ties must not profit from the order in memory: pixels that tie on the border of the
    top count with the share of them that fits, the expected value over a random order.

    **Variants.** ``shape="box"``; `top_k_intersection` for another number of pixels.

    Args:
        saliency: ``(H, W)`` on the image's grid.
        truth: The objects, together :math:`T`.
        shape: ``exact`` or ``box``.

    Returns:
        In [0, 1]; NaN without an object pixel, 0 for a map that is not finite.

    >>> from xiqa.geometry import Box
    >>> from xiqa.types import Annotation
    >>> relevance_rank_accuracy(np.array([[3.0, 2.0, 1.0, 0.0]]), [Annotation(Box(1, 0, 2, 0))])
    0.5
    """
    wanted = union_mask(truth, (saliency.shape[0], saliency.shape[1]), shape=shape)
    return _share_of_top(saliency, wanted, int(wanted.sum()))


@metric(
    "top_k_intersection",
    "localisation",
    higher_is_better=True,
    bounds=(0, 1),
    truth="objects",
    cite="theiner2022interpretable",
    cases=_CASES,
)
def top_k_intersection(saliency: Map, truth: Truth, *, k: Size = 1000, shape: Shape = "exact") -> float:
    r"""The share of objects' pixels among the k highest pixels.

    .. math:: \frac{|\mathrm{top}_k(S) \cap T|}{k}

    **Pitfalls.** With more pixels than the objects have, even a perfect map stays below 1.

    **Variants.** An integer ``k`` counts pixels, one below 1 is a share of the image (one pixel at least).

    Args:
        saliency: ``(H, W)`` on the image's grid.
        truth: The objects, together :math:`T`.
        k: Number or share of pixels; at most all.
        shape: ``exact`` or ``box``.

    Returns:
        In [0, 1]; NaN without an object pixel, 0 for a map that is not finite.

    Raises:
        MetricError: ``k`` is no number of pixels and no share of them.
    """
    count = max(1, round(k * saliency.size)) if k < 1 else int(k)
    wanted = union_mask(truth, (saliency.shape[0], saliency.shape[1]), shape=shape)
    return _share_of_top(saliency, wanted, min(count, saliency.size))


def _share_of_top(saliency: Map, wanted: MaskArray, count: int) -> float:
    """Expected share of wanted pixels among the highest ``count``, over every order of ties."""
    if not wanted.any():
        return nan
    if not np.isfinite(saliency).all():
        return 0.0
    border = np.partition(saliency, saliency.size - count, axis=None)[-count]
    above, level = saliency > border, saliency == border
    room = count - int(above.sum())
    return float(((above & wanted).sum() + room * (level & wanted).sum() / level.sum()) / count)
