"""From a map to a region: the thresholds in use, and the boxes around what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np

from xiqa.errors import MetricError
from xiqa.metrics.arguments import Map
from xiqa.saliency.peaks import says_something
from xiqa.types import MaskArray

__all__ = ["Region", "Threshold", "binarise", "region_of", "tune_level"]

#: ``max``: at least ``level`` times the maximum; ``range``: at least ``level`` of the way from minimum to
#: maximum; ``otsu``: above Otsu's threshold; ``fixed``: at least ``level``; ``top``: the ``level`` share of
#: pixels that are highest, and all that tie with the last of them.
Threshold = Literal["max", "range", "otsu", "fixed", "top"]

#: ``segment``: the pixels; ``box``: the box around the largest 8-connected part; ``boxes``: one around each.
Region = Literal["segment", "box", "boxes"]


def binarise(saliency: Map, threshold: Threshold = "max", level: float = 0.5) -> MaskArray:
    """The pixels above a threshold; none for a map that says nothing.

    Raises:
        MetricError: The threshold is not known, or a share of the maximum, the range or the pixels is none.

    >>> binarise(np.array([[0.0, 4.0, 5.0, 10.0]]), "max", 0.5).astype(int).tolist()
    [[0, 0, 1, 1]]
    """
    if threshold not in get_args(Threshold):
        raise MetricError(
            "unknown threshold", expected=" or ".join(map(repr, get_args(Threshold))), got=repr(threshold)
        )
    if threshold in ("max", "range", "top") and not 0 <= level <= 1:
        raise MetricError(f"no such level of threshold={threshold!r}", expected="in [0, 1]", got=str(level))
    if not says_something(saliency):
        return np.zeros(saliency.shape, bool)
    low, high = float(saliency.min()), float(saliency.max())
    if threshold == "max":
        return np.asarray(saliency >= level * high) if high > 0 else np.zeros(saliency.shape, bool)
    if threshold == "range":
        return np.asarray(saliency >= low + level * (high - low))
    if threshold == "otsu":
        from skimage.filters import threshold_otsu  # noqa: PLC0415 - scikit-image loads slowly

        return np.asarray(saliency > threshold_otsu(saliency))  # type: ignore[no-untyped-call]
    if threshold == "fixed":
        return np.asarray(saliency >= level)
    count = min(saliency.size, max(1, round(level * saliency.size)))
    return np.asarray(saliency >= np.partition(saliency, saliency.size - count, axis=None)[-count])


def region_of(mask: MaskArray, region: Region) -> MaskArray:
    """The thresholded pixels themselves, or the boxes around their connected parts.

    Raises:
        MetricError: The region is not known.
    """
    if region == "segment" or not mask.any():
        return mask
    from scipy.ndimage import find_objects, label  # noqa: PLC0415 - only boxes need it

    parts, _ = label(mask, structure=np.ones((3, 3)))
    windows = find_objects(parts)
    if region == "box":
        sizes = np.bincount(parts.ravel())[1:]
        windows = [windows[int(sizes.argmax())]]
    elif region != "boxes":
        raise MetricError("unknown region", expected="'segment', 'box' or 'boxes'", got=repr(region))
    boxes = np.zeros(mask.shape, bool)
    for window in windows:
        boxes[window] = True
    return boxes


def tune_level(
    score: Callable[[float], Sequence[float]], levels: Sequence[float] = tuple(np.linspace(0.05, 0.95, 19))
) -> float:
    """The level with the best mean score over validation images; the first of those that tie.

    Never tune on the images that are reported: choose here, then pass the level on.

    Args:
        score: Scores of all validation images at a level; NaN is left out of the mean.
        levels: The levels to try.

    >>> tune_level(lambda level: [1 - abs(level - 0.3), float("nan")], levels=[0.1, 0.3, 0.5])
    0.3
    """
    means = [np.nanmean(np.asarray(score(level), float)) for level in levels]
    return float(levels[int(np.nanargmax(means))])
