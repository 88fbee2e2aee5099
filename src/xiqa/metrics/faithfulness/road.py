"""Remove and Debias: removal that shows the network no holes."""

from __future__ import annotations

from math import nan
from typing import Literal

from torch import Tensor
from torch.nn import functional

from xiqa.metrics.arguments import ClassIndex, Map, NotNegative, Output, Percentages, Picture, Seed, checked
from xiqa.metrics.perturbation import Curve, Order, curve, filler, is_usable, pixel_turns
from xiqa.metrics.registry import Cases, CurveOf, metric
from xiqa.saliency.probe import Probe
from xiqa.saliency.targets import predicted

__all__ = ["PERCENTAGES", "road", "road_combined", "road_curve"]

#: Shares of pixels removed in the source, per cent.
PERCENTAGES = (10, 20, 30, 40, 50, 60, 70, 80, 90)

Score = Literal["correct", "probability", "sigmoid", "logit"]

_CASES: Cases = {"constant": "a random order", "ties": "in random order: exactly the asked share is removed"}


@checked
def road_curve(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    percentages: Percentages = PERCENTAGES,
    order: Order = "morf",
    noise: NotNegative = 0.01,
    output: Score = "probability",
    seed: Seed = 0,
) -> Curve:
    """The scores after so many per cent of the pixels are removed and filled in, after 0 first; see `road`.

    With ``output="correct"`` a score is 1 where the network predicts the class, and 0 where it does not.
    """
    turns = pixel_turns(saliency, order, seed)
    points = [0, *(round(p / 100 * saliency.size) for p in percentages)]
    replace = filler(image, "inpaint", strength=10 * noise, seed=seed)
    if output == "correct":
        return curve(_winner(probe), image, replace, turns, points, target, output="logit")
    return curve(probe, image, replace, turns, points, target, output=output)


def _mean_survival(scored: Curve) -> float:
    """The mean over the percentages, without the whole image."""
    return float(scored.score[1:].mean())


@metric(
    "road",
    "faithfulness",
    higher_is_better=False,
    bounds=(0, 1),
    cite="rong2022road",
    curve=CurveOf(road_curve, _mean_survival),
    cases=_CASES,
)
def road(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    percentages: Percentages = PERCENTAGES,
    order: Order = "morf",
    noise: NotNegative = 0.01,
    output: Score = "correct",
    seed: Seed = 0,
) -> float:
    r"""How often the class survives when the highest pixels are removed and filled in smoothly.

    .. math:: \frac{1}{|P|} \sum_{p \in P} \mathbb{1}\bigl[\arg\max f(x^{(p)}) = c\bigr]

    where :math:`x^{(p)}` has lost exactly :math:`p` per cent of its pixels, the highest of the map first, and
    removed pixels follow their neighbours by noisy linear imputation (`impute`).

    **Pitfalls.** Pixels are counted, not cut at a percentile of the values: on a map of ties a percentile
    would remove the whole image. With ``order="lerf"`` *higher* is better.

    **Variants.** ``output="correct"`` as in the source; ``probability`` averages the class's probability.
    `road_combined` puts both orders together.

    Args:
        probe: Scores batches of images.
        image: ``(C, H, W)`` as the network takes it.
        saliency: ``(H, W)``.
        target: The explained class.
        percentages: Per cent of pixels removed, below 100.
        order: ``morf``, ``lerf`` or ``random``.
        noise: Standard deviation of the noise on filled pixels.
        output: ``correct``, ``probability``, ``sigmoid`` or ``logit``.
        seed: Seed of the order of ties and of the noise.

    Returns:
        Mean over the percentages; NaN for a map that is not finite.

    Raises:
        MetricError: Unusable percentages, or a map on another grid than the image.
    """
    if not is_usable(saliency, image):
        return nan
    return _mean_survival(
        road_curve(
            probe,
            image,
            saliency,
            target,
            percentages=percentages,
            order=order,
            noise=noise,
            output=output,
            seed=seed,
        )
    )


@metric(
    "road_combined",
    "faithfulness",
    higher_is_better=True,
    bounds=(-0.5, 0.5),
    cite="rong2022road",
    cases={**_CASES, "constant": 0.0},
)
def road_combined(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    percentages: Percentages = (20, 40, 60, 80),
    noise: NotNegative = 0.01,
    output: Output = "probability",
    seed: Seed = 0,
) -> float:
    r"""Half the distance between removing the least and the most relevant pixels first.

    .. math:: \frac{1}{|P|} \sum_{p \in P}
       \frac{f_c(x^{(p)}_{\mathrm{LeRF}}) - f_c(x^{(p)}_{\mathrm{MoRF}})}{2}

    **Pitfalls.** At 100 per cent both orders meet, so high percentages only add noise.

    **Variants.** See `road`.

    Args:
        probe: Scores batches of images.
        image: ``(C, H, W)`` as the network takes it.
        saliency: ``(H, W)``.
        target: The explained class.
        percentages: Per cent of pixels removed, below 100.
        noise: Standard deviation of the noise on filled pixels.
        output: ``probability``, ``sigmoid`` or ``logit``.
        seed: Seed of the order of ties and of the noise.

    Returns:
        Mean half distance, 0 for a constant map; NaN for one that is not finite.

    Raises:
        MetricError: As `road`.
    """
    if not is_usable(saliency, image):
        return nan
    orders: tuple[Order, Order] = ("lerf", "morf")
    least, most = (
        road(
            probe,
            image,
            saliency,
            target,
            percentages=percentages,
            order=order,
            noise=noise,
            output=output,
            seed=seed,
        )
        for order in orders
    )
    return (least - most) / 2


def _winner(probe: Probe) -> Probe:
    """A probe whose output is 1 for the class with the highest score and 0 for the others."""

    def won(images: Tensor) -> Tensor:
        logits = probe(images)
        return functional.one_hot(predicted(logits), max(2, logits.shape[1])).to(logits.dtype)

    return won
