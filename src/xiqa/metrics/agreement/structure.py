"""Two maps compared as pictures: their pixels, their highest regions, and their structure."""

from __future__ import annotations

from math import nan

import numpy as np

from xiqa.errors import MetricError
from xiqa.metrics.agreement.correlation import same_grid
from xiqa.metrics.arguments import Map, Number
from xiqa.metrics.registry import Cases, metric
from xiqa.metrics.scales import unit_map
from xiqa.metrics.threshold import Threshold, binarise
from xiqa.saliency.peaks import says_something

__all__ = ["l1_similarity", "map_dice", "ssim"]

_CASES: Cases = {"constant": nan, "no_truth": nan, "full_truth": nan}

#: The window of the source: 11 x 11 pixels, which is 3.5 standard deviations of 1.5 pixels each way.
_WINDOW = 11


@metric(
    "l1_similarity",
    "agreement",
    higher_is_better=True,
    bounds=(0, 1),
    truth="map",
    cite="ayyar2021review",
    cases=_CASES,
)
def l1_similarity(a: Map, b: Map) -> float:
    r"""One less the mean distance of two maps, each stretched to [0, 1].

    .. math:: 1 - \frac{1}{HW} \sum_i |a_i - b_i|

    **Pitfalls.** Where both maps are low they agree, so sparse maps agree too well: two single pixels that
    lie apart score :math:`1 - 2 / HW`. Compare with a map turned by half a circle.

    **Variants.** The source compares maps as they are; stretched one by one, their methods' scales do not
    matter. Of maps as distributions, one less *half* the distance is `similarity`.

    Args:
        a: ``(H, W)``.
        b: ``(H, W)``.

    Returns:
        In [0, 1]; NaN when a map is constant or not finite.

    Raises:
        MetricError: The maps have different sizes.

    >>> l1_similarity(np.array([[0.0, 1.0, 2.0]]), np.array([[0.0, 0.0, 5.0]]))
    0.8333333333333334
    """
    same_grid(a, b)
    if not says_something(a) or not says_something(b):
        return nan
    return 1 - float(np.abs(unit_map(a) - unit_map(b)).mean())


@metric(
    "map_dice",
    "agreement",
    higher_is_better=True,
    bounds=(0, 1),
    truth="map",
    cite="dice1945measures",
    cases={**_CASES, "ties": "with the last of the region belong to it"},
)
def map_dice(a: Map, b: Map, *, threshold: Threshold = "top", level: Number = 0.1) -> float:
    r"""Dice coefficient of the highest regions of two maps.

    .. math:: \frac{2\,|R_a \cap R_b|}{|R_a| + |R_b|}

    **Pitfalls.** Regions of chance overlap by their share of the image: compare with that.

    **Variants.** ``threshold`` and ``level`` as for `iou`; by default the highest tenth of the pixels.

    Args:
        a: ``(H, W)``.
        b: ``(H, W)``.
        threshold: See `iou`.
        level: See `iou`.

    Returns:
        In [0, 1]; NaN when a map is constant or not finite.

    Raises:
        MetricError: The maps have different sizes.
    """
    same_grid(a, b)
    if not says_something(a) or not says_something(b):
        return nan
    x, y = binarise(a, threshold, level), binarise(b, threshold, level)
    total = int(x.sum()) + int(y.sum())
    return 2 * int((x & y).sum()) / total if total else nan


@metric(
    "ssim", "agreement", higher_is_better=True, bounds=(-1, 1), truth="map", cite="wang2004ssim", cases=_CASES
)
def ssim(a: Map, b: Map) -> float:
    r"""Mean structural similarity of two maps, each stretched to [0, 1].

    .. math:: \frac{(2 \mu_a \mu_b + C_1)(2 \sigma_{ab} + C_2)}
       {(\mu_a^2 + \mu_b^2 + C_1)(\sigma_a^2 + \sigma_b^2 + C_2)}

    with means and (co)variances under a Gaussian window of 1.5 pixels, 11 x 11, :math:`C_1 = 0.01^2`,
    :math:`C_2 = 0.03^2`; the mean over places where the window fits.

    **Pitfalls.** Flat regions at the same level are perfectly similar, so sparse maps agree too well. The
    window is in pixels: maps enlarged from coarse layers are smooth at its scale.

    **Variants.** Maps are stretched to [0, 1] one by one, as in adebayo2018sanity; without that the constants
    depend on the range.

    Args:
        a: ``(H, W)``, at least 11 x 11.
        b: ``(H, W)``.

    Returns:
        In [-1, 1]; NaN when a map is constant or not finite.

    Raises:
        MetricError: The maps have different sizes, or are smaller than the window.
    """
    from skimage.metrics import structural_similarity  # noqa: PLC0415 - scikit-image loads slowly

    same_grid(a, b)
    if not says_something(a) or not says_something(b):
        return nan
    if min(a.shape) < _WINDOW:
        raise MetricError(
            "maps too small for SSIM",
            expected=f"at least {_WINDOW} x {_WINDOW} pixels",
            got=str(a.shape),
            todo="upsample both to the image's size",
        )
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            unit_map(a),
            unit_map(b),
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
