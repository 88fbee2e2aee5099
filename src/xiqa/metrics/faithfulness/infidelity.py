"""Infidelity: does the map predict what significant perturbations do?"""

from __future__ import annotations

from math import inf, nan
from typing import Literal

import numpy as np

from xiqa.metrics.arguments import ClassIndex, Count, Fill, Map, NotNegative, Output, Picture, Seed
from xiqa.metrics.perturbation import is_usable, scores_of
from xiqa.metrics.registry import metric
from xiqa.saliency.arrays import like
from xiqa.saliency.perturbation.copies import baseline, blend, chunks
from xiqa.saliency.probe import Probe
from xiqa.types import MaskArray

__all__ = ["infidelity"]


@metric(
    "infidelity",
    "faithfulness",
    higher_is_better=False,
    bounds=(0, inf),
    cite="yeh2019infidelity",
    cases={"constant": "predicts the same for every square"},
)
def infidelity(
    probe: Probe,
    image: Picture,
    saliency: Map,
    target: ClassIndex,
    *,
    perturbation: Literal["noise", "square"] = "square",
    samples: Count = 256,
    strength: NotNegative = 0.2,
    square: Count = 16,
    fill: Fill = 0.0,
    scaled: bool = False,
    output: Output = "logit",
    seed: Seed = 0,
) -> float:
    r"""The mean squared error of the map's prediction of how the class's score changes.

    .. math:: \mathbb{E}_I \Bigl[\bigl(I^\top \Phi - (f(x) - f(x - I))\bigr)^2\Bigr]

    **Pitfalls.** It depends on the map's scale, and on the score's: compare maps that were normalised
    alike, or with ``scaled=True``. Maps after a ReLU or a norm cannot predict falls and rises both.

    **Variants.** ``noise``: :math:`I \sim N(0, s)` a pixel, equal in all channels; the map is read as a
    sensitivity (a gradient, summed over channels). ``square``: a random square becomes the fill; the map is
    read as contributions, so that :math:`I^\top \Phi` is its sum over the square. ``scaled`` multiplies the
    map by the factor that makes the error smallest.

    Args:
        probe: Scores batches of images.
        image: ``(C, H, W)`` as the network takes it.
        saliency: ``(H, W)``.
        target: The explained class.
        perturbation: ``noise`` or ``square``.
        samples: Perturbations drawn.
        strength: Standard deviation of ``noise``.
        square: Side of the ``square``, pixels.
        fill: What comes in the square.
        scaled: Whether to scale the map best.
        output: ``logit``, ``probability`` or ``sigmoid``.
        seed: Seed of the perturbations.

    Returns:
        Mean squared error, 0 for perfect contributions; NaN for a map that is not finite.

    Raises:
        MetricError: The perturbation is not known, or the map lies on another grid.
    """
    if not is_usable(saliency, image):
        return nan
    rng = np.random.default_rng(seed)
    rows, columns = saliency.shape
    phi = saliency.astype(float)
    filled = baseline(image, fill)
    before = scores_of(probe, image[None], target, output).double()
    predicted, changed = [], []
    for part in chunks(samples, (rows, columns)):
        count = part.stop - part.start
        if perturbation == "noise":
            change = strength * rng.standard_normal((count, rows, columns))
            copies = image - like(change[:, None], image)
            predicted.append((change * phi).sum(axis=(1, 2)))
        else:
            masks = _squares(rng, count, (rows, columns), square)
            copies = blend(filled, image, like(masks, image))
            predicted.append((masks * phi).sum(axis=(1, 2)))
        changed.append((before - scores_of(probe, copies, target, output)).cpu().numpy())
    guess, truth = np.concatenate(predicted), np.concatenate(changed)
    if scaled and (guess**2).sum() > 0:
        guess = guess * (guess * truth).sum() / (guess**2).sum()
    return float(np.mean((guess - truth) ** 2))


def _squares(rng: np.random.Generator, count: int, size: tuple[int, int], side: int) -> MaskArray:
    """Masks ``(count, H, W)`` of squares that lie within the image."""
    top = rng.integers(0, max(1, size[0] - side + 1), count)[:, None, None]
    left = rng.integers(0, max(1, size[1] - side + 1), count)[:, None, None]
    y, x = np.mgrid[: size[0], : size[1]]
    return np.asarray((y >= top) & (y < top + side) & (x >= left) & (x < left + side))
