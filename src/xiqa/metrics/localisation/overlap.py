"""Overlap of the thresholded map and the annotated objects."""

from __future__ import annotations

from math import nan

from xiqa.metrics.arguments import Map, Number, Share
from xiqa.metrics.registry import Cases, metric
from xiqa.metrics.threshold import Region, Threshold, binarise, region_of
from xiqa.metrics.truth import Shape, Truth, objects_on, union_mask
from xiqa.types import MaskArray

__all__ = ["dice", "iou", "localisation_accuracy"]

_CASES: Cases = {
    "no_truth": nan,
    "full_truth": "the region's share of the image",
    "constant": 0.0,
    "non_finite": 0.0,
    "ties": "all on the threshold belong to the region",
}


@metric(
    "iou",
    "localisation",
    higher_is_better=True,
    bounds=(0, 1),
    truth="objects",
    cite="zhou2016cam",
    cases=_CASES,
)
def iou(
    saliency: Map,
    truth: Truth,
    *,
    threshold: Threshold = "max",
    level: Number = 0.5,
    region: Region = "segment",
    shape: Shape = "exact",
) -> float:
    r"""Intersection over union of the thresholded map and the objects.

    .. math:: \mathrm{IoU} = \frac{|R \cap T|}{|R \cup T|}, \qquad R = \{xy : S_{xy} \ge \theta\}

    **Pitfalls.** The threshold decides the value; one that is tuned on the reported images flatters
    (`tune_level` is for validation images). Small objects score low even where the peak is right.

    **Variants.** ``threshold``: ``max`` (fraction ``level`` of the maximum), ``range`` (of the min-max
    normalised map), ``otsu``, ``fixed`` (also for tuned levels), ``top`` (share of pixels).
    ``region="box"`` with ``shape="box"`` compares boxes, as weakly supervised localisation does.

    Args:
        saliency: ``(H, W)`` on the image's grid.
        truth: The objects; together they are the set :math:`T`.
        threshold: Kind of threshold :math:`\theta`.
        level: Its level; ``otsu`` has none.
        region: ``segment``, ``box`` (of the largest part) or ``boxes`` (of every part).
        shape: ``exact`` or ``box``.

    Returns:
        In [0, 1]; NaN without an object, 0 for a map that says nothing.

    >>> import numpy as np
    >>> from xiqa.geometry import Box
    >>> from xiqa.types import Annotation
    >>> iou(np.array([[0.0, 1.0, 1.0, 0.2]]), [Annotation(Box(2, 0, 3, 0))])
    0.3333333333333333
    """
    predicted, wanted = _regions(saliency, truth, threshold, level, region, shape)
    if not wanted.any():
        return nan
    return int((predicted & wanted).sum()) / int((predicted | wanted).sum())


@metric(
    "dice",
    "localisation",
    higher_is_better=True,
    bounds=(0, 1),
    truth="objects",
    cite="dice1945measures",
    cases={**_CASES, "full_truth": "2 r / (1 + r) of the region's share r of the image"},
)
def dice(
    saliency: Map,
    truth: Truth,
    *,
    threshold: Threshold = "max",
    level: Number = 0.5,
    region: Region = "segment",
    shape: Shape = "exact",
) -> float:
    r"""Dice coefficient of the thresholded map and the objects.

    .. math:: \mathrm{Dice} = \frac{2\,|R \cap T|}{|R| + |T|} = \frac{2\,\mathrm{IoU}}{1 + \mathrm{IoU}}

    **Pitfalls.** As for `iou`, of which it is a monotone function: report one of the two.

    **Variants.** Those of `iou`.

    Args:
        saliency: ``(H, W)`` on the image's grid.
        truth: The objects.
        threshold: See `iou`.
        level: See `iou`.
        region: See `iou`.
        shape: See `iou`.

    Returns:
        In [0, 1]; NaN without an object, 0 for a map that says nothing.
    """
    predicted, wanted = _regions(saliency, truth, threshold, level, region, shape)
    if not wanted.any():
        return nan
    return 2 * int((predicted & wanted).sum()) / (int(predicted.sum()) + int(wanted.sum()))


@metric(
    "localisation_accuracy",
    "localisation",
    higher_is_better=True,
    bounds=(0, 1),
    truth="objects",
    cite="zhou2016cam",
    cases={
        **_CASES,
        "full_truth": "whether the box of the region is that share of the image",
        "ties": "all on the threshold belong to the region; of parts of one size the first row by row",
    },
)
def localisation_accuracy(
    saliency: Map,
    truth: Truth,
    *,
    overlap: Share = 0.5,
    threshold: Threshold = "max",
    level: Number = 0.2,
) -> float:
    r"""Whether the box around the map's largest region overlaps the box of any object well enough.

    .. math:: \mathbb{1}\bigl[\max_{o} \mathrm{IoU}(B(R), B(o)) \ge \delta\bigr]

    **Pitfalls.** With ``overlap=0.5`` it is hard to meet for objects smaller than a few map pixels.

    **Variants.** The source thresholds at 20 % of the maximum and also asks for the right class.

    Args:
        saliency: ``(H, W)`` on the image's grid.
        truth: The objects.
        overlap: :math:`\delta`.
        threshold: See `iou`.
        level: See `iou`.

    Returns:
        1 or 0; NaN without an object.
    """
    objects = objects_on(truth, (saliency.shape[0], saliency.shape[1]), shape="box")
    if not objects:
        return nan
    best = max(
        iou(saliency, [a], threshold=threshold, level=level, region="box", shape="box") for a in objects
    )
    return float(best >= overlap)


def _regions(
    saliency: Map, truth: Truth, threshold: Threshold, level: float, region: Region, shape: Shape
) -> tuple[MaskArray, MaskArray]:
    region_mask = region_of(binarise(saliency, threshold, level), region)
    return region_mask, union_mask(truth, (saliency.shape[0], saliency.shape[1]), shape=shape)
