"""Insertion and deletion, and pixel flipping, which is deletion in steps of a chosen size."""

from __future__ import annotations

from functools import partial
from math import nan
from operator import attrgetter

from xiqa.metrics.arguments import ClassIndex, Count, Fill, Map, NotNegative, Output, Picture, Seed, checked
from xiqa.metrics.perturbation import Curve, Order, curve, filler, is_usable, pixel_turns
from xiqa.metrics.registry import Cases, CurveOf, metric
from xiqa.saliency.perturbation.copies import baseline, blend
from xiqa.saliency.probe import Probe

__all__ = ["deletion", "deletion_curve", "insertion", "insertion_curve"]

_CASES: Cases = {"constant": "a random order", "ties": "in random order"}


@checked
def deletion_curve(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    step: Count | None = None,
    order: Order = "morf",
    fill: Fill = 0.0,
    output: Output = "probability",
    seed: Seed = 0,
) -> Curve:
    """The scores while more and more pixels are replaced; see `deletion`."""
    turns = pixel_turns(saliency, order, seed)
    replace = filler(image, fill, seed=seed)
    return curve(probe, image, replace, turns, _points(saliency, step), target, output=output)


@checked
def insertion_curve(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    step: Count | None = None,
    order: Order = "morf",
    start: Fill = "blur",
    sigma: NotNegative = 5.0,
    output: Output = "probability",
    seed: Seed = 0,
) -> Curve:
    """The scores while more and more pixels of the image appear; see `insertion`."""
    turns = pixel_turns(saliency, order, seed)
    hidden = baseline(image, start, sigma=sigma)
    appear = partial(blend, image, hidden)
    return curve(probe, image, appear, turns, _points(saliency, step), target, output=output)


def _points(saliency: Map, step: int | None) -> list[int]:
    """Numbers of pixels at which to score: from none, by steps, to all."""
    size = step or saliency.shape[1]
    return [*range(0, saliency.size, size), saliency.size]


@metric(
    "deletion",
    "faithfulness",
    higher_is_better=False,
    bounds=(0, 1),
    cite="petsiuk2018rise",
    curve=CurveOf(deletion_curve, attrgetter("area")),
    cases=_CASES,
)
def deletion(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    step: Count | None = None,
    order: Order = "morf",
    fill: Fill = 0.0,
    output: Output = "probability",
    seed: Seed = 0,
) -> float:
    r"""Area under the class's score while pixels are deleted, the highest of the map first.

    .. math:: \int_0^1 f\bigl(x \text{ without its } \lfloor tHW \rfloor \text{ highest pixels}\bigr)\, dt

    **Pitfalls.** A network that is unsure from the beginning has a small area whatever the map. Deleting
    single pixels makes images unlike any other, on which fine-grained maps look better than they are.

    **Variants.** ``fill``: what comes in a pixel's place (0 is the training mean of standardised inputs).
    ``step``: pixels a step, as in pixel flipping; None: one image row, as in RISE. With ``order="lerf"``
    *higher* is better.

    Args:
        probe: Scores batches of images.
        image: ``(C, H, W)`` as the network takes it.
        saliency: ``(H, W)``.
        target: The explained class.
        step: Pixels a step.
        order: ``morf``, ``lerf`` or ``random``.
        fill: See `xiqa.metrics.perturbation.filler`.
        output: ``probability``, ``sigmoid`` or ``logit``.
        seed: Seed of the order of ties and of a random fill.

    Returns:
        Area in [0, 1] for probabilities; NaN for a map that is not finite.

    Raises:
        MetricError: The map lies on another grid than the image.
    """
    if not is_usable(saliency, image):
        return nan
    return deletion_curve(
        probe, image, saliency, target, step=step, order=order, fill=fill, output=output, seed=seed
    ).area


@metric(
    "insertion",
    "faithfulness",
    higher_is_better=True,
    bounds=(0, 1),
    cite="petsiuk2018rise",
    curve=CurveOf(insertion_curve, attrgetter("area")),
    cases=_CASES,
)
def insertion(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    step: Count | None = None,
    order: Order = "morf",
    start: Fill = "blur",
    sigma: NotNegative = 5.0,
    output: Output = "probability",
    seed: Seed = 0,
) -> float:
    r"""Area under the class's score while pixels appear on a blurred image, the highest of the map first.

    .. math:: \int_0^1 f\bigl(\tilde x \text{ with the } \lfloor tHW \rfloor
       \text{ highest pixels of } x\bigr)\, dt

    **Pitfalls.** As for `deletion`; a blur that is too weak leaves the object to be seen from the beginning.

    **Variants.** ``start``: ``blur`` (width ``sigma``; RISE: 5 px of 224), ``mean`` or a number.

    Args:
        probe: Scores batches of images.
        image: ``(C, H, W)`` as the network takes it.
        saliency: ``(H, W)``.
        target: The explained class.
        step: Pixels a step; None: one image row.
        order: ``morf``, ``lerf`` or ``random``.
        start: What is seen before a pixel appears.
        sigma: Width of the blur, pixels.
        output: ``probability``, ``sigmoid`` or ``logit``.
        seed: Seed of the order of ties.

    Returns:
        Area in [0, 1] for probabilities; NaN for a map that is not finite.

    Raises:
        MetricError: The map lies on another grid than the image.
    """
    if not is_usable(saliency, image):
        return nan
    return insertion_curve(
        probe,
        image,
        saliency,
        target,
        step=step,
        order=order,
        start=start,
        sigma=sigma,
        output=output,
        seed=seed,
    ).area
