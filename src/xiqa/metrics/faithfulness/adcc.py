"""Average Drop, Coherency and Complexity in one number, and the two that are new in it."""

from __future__ import annotations

from math import isnan, nan
from typing import Literal

import numpy as np
import torch

from xiqa.metrics.agreement.correlation import pearson
from xiqa.metrics.arguments import ClassIndex, Explain, Fill, Map, Picture
from xiqa.metrics.faithfulness.average_drop import Probability, average_drop, explanation_image
from xiqa.metrics.perturbation import is_usable
from xiqa.metrics.registry import Cases, metric
from xiqa.metrics.scales import unit_map
from xiqa.saliency.peaks import says_something
from xiqa.saliency.probe import Probe

__all__ = ["adcc", "adcc_of_means", "coherency", "map_complexity"]

Scale = Literal["rescaled", "clipped"]

_CASES: Cases = {"constant": nan}


def adcc_of_means(coherency: float, complexity: float, drop: float) -> float:
    r"""The harmonic mean of three numbers of which 1 is best, also for means over a data set.

    .. math:: 3 \Bigl(\frac{1}{\mathrm{Coherency}} + \frac{1}{1 - \mathrm{Complexity}}
       + \frac{1}{1 - \mathrm{AverageDrop}}\Bigr)^{-1}

    It is 0 when one of the three is as bad as can be.

    >>> adcc_of_means(1.0, 0.0, 0.0), adcc_of_means(0.5, 0.5, 1.0)
    (1.0, 0.0)
    """
    parts = (coherency, 1 - complexity, 1 - drop)
    if any(isnan(part) for part in parts):
        return nan
    return 3 / sum(1 / part for part in parts) if min(parts) > 0 else 0.0


@metric("coherency", "faithfulness", higher_is_better=True, bounds=(0, 1), cite="poppi2021adcc", cases=_CASES)
def coherency(
    probe: Probe | None,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    explain: Explain,
    fill: Fill = 0.0,
    scale: Scale = "rescaled",
) -> float:
    r"""Whether the map stays as it is when only what it shows is explained again.

    .. math:: \tfrac12 \bigl(1 + \rho(S(x),\, S(s \circ x))\bigr)

    with Pearson's :math:`\rho` and the map stretched to :math:`s \in [0, 1]`.

    **Pitfalls.** A map that does not look at the image (its centre, say) is perfectly coherent.

    **Variants.** ``scale="rescaled"`` as above; ``clipped`` takes :math:`\max(0, \rho)`.

    Args:
        probe: Not used.
        image: ``(C, H, W)`` as the network takes it.
        saliency: ``(H, W)``, the map of ``image``.
        target: Not used; ``explain`` knows its class.
        explain: Gives maps ``(N, H, W)`` of images ``(N, C, H, W)``.
        fill: What is seen where the map is 0.
        scale: How correlations become values in [0, 1].

    Returns:
        In [0, 1]; NaN for a map that is constant, before or after.

    Raises:
        MetricError: The scale is not known, or the map lies on another grid.
    """
    if not is_usable(saliency, image) or not says_something(saliency):
        return nan
    again = explain(explanation_image(image, saliency, fill)[None])[0]
    rho = pearson(saliency, np.asarray(torch.as_tensor(again).detach().cpu(), float))
    return (1 + rho) / 2 if scale == "rescaled" else max(0.0, rho) if not isnan(rho) else nan


def map_complexity(saliency: Map) -> float:
    r"""How much of the image the map shows: the mean of the map stretched to [0, 1]; NaN if constant.

    >>> map_complexity(np.array([[0.0, 0.0, 0.0, 5.0]]))
    0.25
    """
    return float(unit_map(saliency).mean()) if says_something(saliency) else nan


@metric("adcc", "faithfulness", higher_is_better=True, bounds=(0, 1), cite="poppi2021adcc", cases=_CASES)
def adcc(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    explain: Explain,
    fill: Fill = 0.0,
    scale: Scale = "rescaled",
    output: Probability = "probability",
) -> float:
    r"""Average drop, coherency and complexity of one image in one number.

    .. math:: \mathrm{ADCC} = 3 \Bigl(\frac{1}{\mathrm{Coherency}} + \frac{1}{1 - \mathrm{Complexity}}
       + \frac{1}{1 - \mathrm{AverageDrop}}\Bigr)^{-1}

    **Pitfalls.** Complexity is the mean of the min-max stretched map (the :math:`L_1` norm over its
    pixels), so smoothing alone changes it. One lost class makes the image's value 0.

    **Variants.** Per image, then averaged (this function), or `adcc_of_means` of the three means over a data
    set; the two differ, so say which. ``scale`` as for `coherency`.

    Args:
        probe: Scores batches of images.
        image: ``(C, H, W)`` as the network takes it.
        saliency: ``(H, W)``, the map of ``image``.
        target: The explained class.
        explain: Gives maps ``(N, H, W)`` of images ``(N, C, H, W)``.
        fill: What is seen where the map is 0.
        scale: See `coherency`.
        output: ``probability`` or ``sigmoid``.

    Returns:
        In [0, 1]; NaN for a map that is constant, before or after.

    Raises:
        MetricError: As `average_drop` and `coherency`.
    """
    if not is_usable(saliency, image):
        return nan
    return adcc_of_means(
        coherency(probe, image, saliency, target, explain=explain, fill=fill, scale=scale),
        map_complexity(saliency),
        average_drop(probe, image, saliency, target, fill=fill, output=output),
    )
