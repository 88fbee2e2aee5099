"""How far the peak is from the middle of the nearest object."""

from __future__ import annotations

from math import hypot, inf, nan
from typing import Literal

from xiqa.metrics.arguments import Map
from xiqa.metrics.registry import metric
from xiqa.metrics.truth import Truth, objects_on
from xiqa.saliency.peaks import peak

__all__ = ["peak_offset"]

OffsetUnit = Literal["pixels", "diagonal", "object"]


@metric(
    "peak_offset",
    "localisation",
    higher_is_better=False,
    bounds=(0, inf),
    truth="objects",
    cite="ozer2021explainable",
    cases={
        "no_truth": nan,
        "full_truth": "the distance to the image's centre",
        "constant": nan,
        "non_finite": nan,
        "ties": "first in row-major order",
    },
)
def peak_offset(saliency: Map, truth: Truth, *, unit: OffsetUnit = "pixels") -> float:
    r"""The distance from the map's highest pixel to the centre of the nearest object's box.

    .. math:: \min_{o} \lVert p - c_o \rVert_2

    **Pitfalls.** It is unbounded and skewed: report the median beside the mean. A map without a peak has no
    offset (NaN), so report how many images that were.

    **Variants.** ``unit="diagonal"``: fraction of the image's diagonal; ``unit="object"``: in half
    diagonals of the object's box, so that 1 is its corner. Called skewness in the source.

    Args:
        saliency: ``(H, W)`` on the image's grid.
        truth: The objects.
        unit: ``pixels``, ``diagonal`` or ``object``.

    Returns:
        Distance; NaN without an object or a peak.

    Raises:
        MetricError: The unit is not known.

    >>> import numpy as np
    >>> from xiqa.geometry import Box
    >>> from xiqa.types import Annotation
    >>> saliency = np.zeros((10, 10)); saliency[9, 8] = 1
    >>> peak_offset(saliency, [Annotation(Box(4, 4, 6, 6))])
    5.0
    """
    point = peak(saliency)
    offsets = []
    objects = objects_on(truth, (saliency.shape[0], saliency.shape[1]))
    if not objects or point is None:
        return nan
    for annotation in objects:
        box = annotation.box
        one = {
            "pixels": 1.0,
            "diagonal": hypot(*saliency.shape),
            "object": hypot(box.width, box.height) / 2,
        }[unit]
        offsets.append(hypot(point.x - box.centre.x, point.y - box.centre.y) / one)
    return min(offsets)
