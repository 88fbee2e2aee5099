"""How much of a map's positive energy lies on the annotated objects."""

from __future__ import annotations

from math import nan

import numpy as np

from xiqa.metrics.arguments import Map
from xiqa.metrics.registry import Cases, metric
from xiqa.metrics.scales import unit_scale
from xiqa.metrics.truth import Shape, Truth, union_mask

__all__ = ["energy_pointing_game", "relevance_mass_accuracy"]

_CASES: Cases = {
    "no_truth": nan,
    "full_truth": 1.0,
    "constant": "the objects' share of the image; 0 for a map without positive values",
    "non_finite": 0.0,
}


@metric(
    "energy_pointing_game",
    "localisation",
    higher_is_better=True,
    bounds=(0, 1),
    truth="objects",
    cite="wang2020scorecam",
    cases=_CASES,
)
def energy_pointing_game(saliency: Map, truth: Truth, *, shape: Shape = "box") -> float:
    r"""The share of the map's positive energy inside the objects' boxes.

    .. math:: \frac{\sum_{xy \in \text{boxes}} S^+_{xy}}{\sum_{xy} S^+_{xy}}, \qquad S^+ = \max(S, 0)

    **Pitfalls.** It grows with the size of the objects: a constant map scores their share of the image. A
    min-max normalised map has lost its zero, so normalise before it only where the method's zero means
    nothing.

    **Variants.** ``shape="exact"`` counts the pixels of masks, polygons and ellipses; that is
    `relevance_mass_accuracy`. The source min-max normalises the map; here nothing is done to it but dropping
    negative values, which equals the source for maps whose minimum is 0.

    Args:
        saliency: ``(H, W)`` on the image's grid.
        truth: The objects.
        shape: ``box`` or ``exact``.

    Returns:
        Share in [0, 1]; NaN without an object, 0 for a map without positive values.

    >>> from xiqa.geometry import Box
    >>> from xiqa.types import Annotation
    >>> energy_pointing_game(np.array([[3.0, 1.0, -5.0]]), [Annotation(Box(0, 0, 0, 0))])
    0.75
    """
    return _share_inside(saliency, truth, shape)


@metric(
    "relevance_mass_accuracy",
    "localisation",
    higher_is_better=True,
    bounds=(0, 1),
    truth="objects",
    cite="arras2022clevr",
    cases=_CASES,
)
def relevance_mass_accuracy(saliency: Map, truth: Truth, *, shape: Shape = "exact") -> float:
    r"""The share of the map's positive relevance on the objects' pixels.

    .. math:: \frac{\sum_{xy \in \text{objects}} S^+_{xy}}{\sum_{xy} S^+_{xy}}, \qquad S^+ = \max(S, 0)

    **Pitfalls.** As for `energy_pointing_game`. Relevance of several channels must be pooled to one
    non-negative map first; the source's pooling (sum, maximum, L2 norm) changes the value.

    **Variants.** ``shape="box"`` gives the Energy Pointing Game.

    Args:
        saliency: ``(H, W)`` on the image's grid.
        truth: The objects.
        shape: ``exact`` or ``box``.

    Returns:
        Share in [0, 1]; NaN without an object, 0 for a map without positive values.
    """
    return _share_inside(saliency, truth, shape)


def _share_inside(saliency: Map, truth: Truth, shape: Shape) -> float:
    wanted = union_mask(truth, (saliency.shape[0], saliency.shape[1]), shape=shape)
    if not wanted.any():
        return nan
    positive = np.maximum(saliency, 0)
    if not np.isfinite(saliency).all() or not positive.any():
        return 0.0
    energy = unit_scale(positive)
    return float(energy[wanted].sum() / energy.sum())
