"""Area under the ROC curve of the map as a detector of object pixels."""

from __future__ import annotations

from math import nan

import numpy as np

from xiqa.metrics.arguments import Map
from xiqa.metrics.registry import metric
from xiqa.metrics.roc import roc_auc
from xiqa.metrics.truth import Shape, Truth, union_mask

__all__ = ["pixel_auc"]


@metric(
    "pixel_auc",
    "localisation",
    higher_is_better=True,
    bounds=(0, 1),
    truth="objects",
    cite="fawcett2006roc",
    cases={
        "no_truth": nan,
        "full_truth": nan,
        "constant": 0.5,
        "non_finite": 0.5,
        "ties": "count one half",
    },
)
def pixel_auc(saliency: Map, truth: Truth, *, shape: Shape = "exact") -> float:
    r"""The probability that an object's pixel is higher than a pixel beside all objects.

    .. math:: \mathrm{AUC} = P(S_t > S_b) + \tfrac12 P(S_t = S_b), \qquad t \in T,\ b \notin T

    **Pitfalls.** Most of the image is far from the objects and easy to rank: 0.95 can hide many false peaks.

    **Variants.** `auc_judd` compares with single fixations instead of areas.

    Args:
        saliency: ``(H, W)`` on the image's grid.
        truth: The objects, together :math:`T`.
        shape: ``exact`` or ``box``.

    Returns:
        In [0, 1], 0.5 for a map that orders nothing; NaN without an object or without background.

    >>> from xiqa.geometry import Box
    >>> from xiqa.types import Annotation
    >>> pixel_auc(np.array([[3.0, 2.0, 1.0, 2.0]]), [Annotation(Box(0, 0, 1, 0))])
    0.875
    """
    wanted = union_mask(truth, (saliency.shape[0], saliency.shape[1]), shape=shape)
    if not np.isfinite(saliency).all():
        return roc_auc(np.zeros(wanted.shape), wanted)
    return roc_auc(saliency, wanted)
