"""Area over the perturbation curve, in regions."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from operator import attrgetter
from typing import Any

import numpy as np

from xiqa.metrics.arguments import ClassIndex, Count, Fill, Map, NotNegative, Output, Picture, Seed, checked
from xiqa.metrics.perturbation import Curve, Order, curve, filler, is_usable, region_turns
from xiqa.metrics.registry import CurveOf, metric
from xiqa.saliency.probe import Probe
from xiqa.saliency.targets import predicted

__all__ = ["LAMPROU", "SAMEK", "aopc", "aopc_curve"]

#: samek2017evaluating: 100 regions of 9 x 9 pixels become uniform noise.
SAMEK: Mapping[str, Any] = {"region": 9, "fill": "uniform", "steps": 100}
#: lamprou2024faithfulness: noise is added to regions of 34 x 34 pixels, for correct predictions only.
LAMPROU: Mapping[str, Any] = {
    "region": 34,
    "fill": "gaussian",
    "strength": 0.1,
    "steps": None,
    "correct_only": True,
}


@checked
def aopc_curve(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    region: Count = 9,
    steps: Count | None = 100,
    every: Count = 1,
    order: Order = "morf",
    fill: Fill = "uniform",
    strength: NotNegative = 0.1,
    sigma: NotNegative = 5.0,
    output: Output = "probability",
    seed: Seed = 0,
) -> Curve:
    """The scores while one region after another is altered; see `aopc`."""
    turns = region_turns(saliency, region, order, seed)
    regions = int(turns.max()) + 1
    points = range(0, min(regions, regions if steps is None else steps) + 1, every)
    replace = filler(image, fill, strength=strength, sigma=sigma, seed=seed)
    return curve(probe, image, replace, turns, points, target, output=output)


@metric(
    "aopc",
    "faithfulness",
    higher_is_better=True,
    bounds=(-1, 1),
    cite="samek2017evaluating",
    curve=CurveOf(aopc_curve, attrgetter("mean_drop")),
    cases={"constant": "a random order", "ties": "in random order"},
)
def aopc(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    region: Count = 9,
    steps: Count | None = 100,
    every: Count = 1,
    order: Order = "morf",
    fill: Fill = "uniform",
    strength: NotNegative = 0.1,
    sigma: NotNegative = 5.0,
    output: Output = "probability",
    repeats: Count = 1,
    correct_only: bool = False,
    seed: Seed = 0,
) -> float:
    r"""How far the class's score falls, on average, while regions are altered one after another.

    .. math:: \mathrm{AOPC} = \frac{1}{L+1} \sum_{k=0}^{L} f(x^{(0)}) - f(x^{(k)}),
       \qquad x^{(k)} = g(x^{(k-1)}, r_k)

    with regions :math:`r_1, r_2, \dots` by falling mean of the map, and :math:`g` that alters a region.

    **Pitfalls.** Compare with ``order="random"``: any noise lowers a score. With ``order="lerf"`` *lower* is
    better. Altered images are unlike any training image, so part of the fall is surprise; `road` is an answer
    to that. ``output="logit"`` is not bounded by 1 and differs between networks.

    **Variants.** `SAMEK` and `LAMPROU` are the settings of the papers: ``aopc(..., **LAMPROU)``. ``fill``
    (:math:`g`) may be ``uniform``, ``gaussian`` (added, with ``strength``), ``blur``, ``mean``, a number,
    ``shuffle`` or ``inpaint``. Samek et al. average over 10 draws of the noise: ``repeats=10``.

    Args:
        probe: Scores batches of images.
        image: ``(C, H, W)`` as the network takes it.
        saliency: ``(H, W)``.
        target: The explained class.
        region: Side of a region, pixels.
        steps: :math:`L`, at most all regions; None: all.
        every: Score only after so many regions, and average over what was scored: a coarser curve for as many
            times fewer passes.
        order: ``morf``, ``lerf`` or ``random``.
        fill: What comes where a region is altered.
        strength: Standard deviation of ``gaussian`` noise, in units of the network's input.
        sigma: Width of ``blur``, pixels.
        output: ``probability``, ``sigmoid`` or ``logit``.
        repeats: Draws of noise and tie order to average over.
        correct_only: NaN where the network does not predict the target.
        seed: Seed of noise and tie order.

    Returns:
        Mean fall; NaN for a map that is not finite.

    Raises:
        MetricError: The map lies on another grid than the image.
    """
    if not is_usable(saliency, image):
        return nan
    if correct_only and int(predicted(probe(image[None]))[0]) != target:
        return nan
    drops = [
        aopc_curve(
            probe,
            image,
            saliency,
            target,
            region=region,
            steps=steps,
            every=every,
            order=order,
            fill=fill,
            strength=strength,
            sigma=sigma,
            output=output,
            seed=seed + repeat,
        ).mean_drop
        for repeat in range(repeats)
    ]
    return float(np.mean(drops))
