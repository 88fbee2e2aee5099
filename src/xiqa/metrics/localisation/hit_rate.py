"""Whether the peak lies on the segmented object itself."""

from __future__ import annotations

from math import nan

from xiqa.metrics.arguments import Map
from xiqa.metrics.localisation.pointing_game import pointing_game
from xiqa.metrics.registry import metric
from xiqa.metrics.truth import Shape, Truth

__all__ = ["hit_rate"]


@metric(
    "hit_rate",
    "localisation",
    higher_is_better=True,
    bounds=(0, 1),
    truth="objects",
    cite="saporta2022benchmarking",
    cases={
        "no_truth": nan,
        "full_truth": 1.0,
        "constant": 0.0,
        "non_finite": 0.0,
        "ties": "first in row-major order",
    },
)
def hit_rate(saliency: Map, truth: Truth, *, shape: Shape = "exact") -> float:
    r"""Whether the map's highest pixel lies inside an object, without any tolerance.

    .. math:: \mathbb{1}\bigl[\arg\max_{xy} S_{xy} \in T\bigr]

    **Pitfalls.** Maps of coarse layers are good to half a layer pixel only; on thin objects a peak next to
    them is a miss here and a hit in `pointing_game`.

    **Variants.** ``shape="box"`` accepts a peak in an object's bounding box.

    Args:
        saliency: ``(H, W)`` on the image's grid.
        truth: The objects.
        shape: ``exact`` or ``box``.

    Returns:
        1 or 0; NaN without an object.
    """
    return pointing_game(saliency, truth, tolerance=0, shape=shape)
