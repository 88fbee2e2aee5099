"""How much of the class's probability the map alone keeps: drop, increase and gain."""

from __future__ import annotations

from math import nan
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from xiqa.metrics.arguments import ClassIndex, Fill, Map, Picture
from xiqa.metrics.perturbation import is_usable, scores_of
from xiqa.metrics.registry import Cases, metric
from xiqa.metrics.scales import unit_map
from xiqa.saliency.peaks import says_something
from xiqa.saliency.perturbation.copies import baseline, blend
from xiqa.saliency.probe import Probe

__all__ = ["average_drop", "average_gain", "explanation_image", "increase_in_confidence"]

#: A ratio of logits means nothing: they have no zero, and can be negative.
Probability = Literal["probability", "sigmoid"]

_CASES: Cases = {"constant": nan}


def explanation_image(image: Tensor, saliency: Map, fill: str | float = 0.0) -> Tensor:
    r"""What the map leaves of the image: :math:`s \circ x + (1 - s) \circ b` with the map in [0, 1]."""
    mask = torch.as_tensor(unit_map(saliency), dtype=image.dtype, device=image.device)
    return blend(image, baseline(image, fill), mask[None])[0]


def _before_after(
    probe: Probe, image: Tensor, saliency: Map, target: int, fill: Fill, output: Probability
) -> tuple[float, float]:
    """The class's probability on the image and on what the map leaves of it; NaN for no such map."""
    if not is_usable(saliency, image) or not says_something(saliency):
        return nan, nan
    pair = torch.stack([image, explanation_image(image, saliency, fill)])
    before, after = scores_of(probe, pair, target, output).double().tolist()
    return before, after


@metric(
    "average_drop",
    "faithfulness",
    higher_is_better=False,
    bounds=(0, 1),
    cite="chattopadhay2018gradcampp",
    cases=_CASES,
)
def average_drop(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    fill: Fill = 0.0,
    output: Probability = "probability",
) -> float:
    r"""The share of the class's probability that is lost when only what the map shows is left.

    .. math:: \frac{\max(0,\, Y - O)}{Y}, \qquad Y = f_c(x),\ O = f_c(s \circ x)

    with the map stretched to :math:`s \in [0, 1]`; the mean over images is the source's Average Drop, in per
    cent there.

    **Pitfalls.** A map that shows everything drops nothing: read it with `complexity` or as `adcc`. On
    logits the ratio has no meaning, and is refused.

    **Variants.** ``fill``: what is seen where the map is 0. ``output="sigmoid"`` for multi-label heads.

    Args:
        probe: Scores batches of images.
        image: ``(C, H, W)`` as the network takes it.
        saliency: ``(H, W)``.
        target: The explained class.
        fill: A number, ``mean``, ``min`` or ``blur``.
        output: ``probability`` or ``sigmoid``.

    Returns:
        In [0, 1]; NaN for a constant map.

    Raises:
        MetricError: Scores that are no probabilities, or a map on another grid.
    """
    before, after = _before_after(probe, image, saliency, target, fill, output)
    if np.isnan(before):
        return nan
    return max(0.0, before - after) / before if before > 0 else 0.0


@metric(
    "increase_in_confidence",
    "faithfulness",
    higher_is_better=True,
    bounds=(0, 1),
    cite="chattopadhay2018gradcampp",
    cases=_CASES,
)
def increase_in_confidence(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    fill: Fill = 0.0,
    output: Probability = "probability",
) -> float:
    r"""Whether the class's probability rises when only what the map shows is left.

    .. math:: \mathbb{1}[O > Y]

    **Pitfalls.** A rise by rounding counts as much as a large one; `average_gain` weighs it.

    **Variants.** Those of `average_drop`.

    Args:
        probe: Scores batches of images.
        image: ``(C, H, W)`` as the network takes it.
        saliency: ``(H, W)``.
        target: The explained class.
        fill: See `average_drop`.
        output: ``probability`` or ``sigmoid``.

    Returns:
        1 or 0; NaN for a constant map.

    Raises:
        MetricError: As `average_drop`.
    """
    before, after = _before_after(probe, image, saliency, target, fill, output)
    return nan if np.isnan(before) else float(after > before)


@metric(
    "average_gain",
    "faithfulness",
    higher_is_better=True,
    bounds=(0, 1),
    cite="zhang2024opticam",
    cases=_CASES,
)
def average_gain(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    fill: Fill = 0.0,
    output: Probability = "probability",
) -> float:
    r"""The share of the missing probability that is won when only what the map shows is left.

    .. math:: \frac{\max(0,\, O - Y)}{1 - Y}

    **Pitfalls.** Where the network is already sure, tiny rises become large shares.

    **Variants.** Those of `average_drop`, whose counterpart it is.

    Args:
        probe: Scores batches of images.
        image: ``(C, H, W)`` as the network takes it.
        saliency: ``(H, W)``.
        target: The explained class.
        fill: See `average_drop`.
        output: ``probability`` or ``sigmoid``.

    Returns:
        In [0, 1]; NaN for a constant map.

    Raises:
        MetricError: As `average_drop`.
    """
    before, after = _before_after(probe, image, saliency, target, fill, output)
    if np.isnan(before):
        return nan
    return max(0.0, after - before) / (1 - before) if before < 1 else 0.0
