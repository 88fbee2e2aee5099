"""What all perturbation metrics share: an order of removal, what replaces a pixel, and the curve of scores.

An order is an integer image ``(H, W)``: the turn at which a pixel goes. So the copy after ``n`` turns is one
comparison, and a whole curve is scored in a few large batches without keeping its copies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xiqa.errors import MetricError
from xiqa.metrics.arguments import Fill, Map, Output
from xiqa.metrics.impute import impute
from xiqa.metrics.scales import unit_scale
from xiqa.saliency.arrays import to_numpy
from xiqa.saliency.incremental import incremental
from xiqa.saliency.perturbation.copies import baseline, blend, chunks
from xiqa.saliency.probe import Probe, class_score

__all__ = [
    "Curve",
    "Order",
    "Replace",
    "check_class",
    "curve",
    "filler",
    "is_usable",
    "pixel_turns",
    "region_turns",
    "scores_of",
]

#: Most relevant first, least relevant first, or no regard to relevance.
Order = Literal["morf", "lerf", "random"]

#: Copies ``(M, C, H, W)`` of an image, replaced where masks ``(M, H, W)`` of its type are 1 and not 0.
Replace = Callable[[Tensor], Tensor]

Turns = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Curve:
    """The explained class's score while an image is altered step by step.

    Attributes:
        share: Share of the units altered at each point, from 0.
        score: Score at each point.
    """

    share: NDArray[np.float64]
    score: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area under the curve by the trapezoidal rule, over the share altered."""
        return float(np.trapezoid(self.score, self.share))

    @property
    def mean_drop(self) -> float:
        r"""Mean distance below the first point, :math:`\frac{1}{L+1} \sum_k f(x^{(0)}) - f(x^{(k)})`."""
        return float(np.mean(self.score[0] - self.score))


def is_usable(saliency: Map, image: Tensor) -> bool:
    """Whether the map is finite.

    Raises:
        MetricError: The map lies on another grid than the image ``(C, H, W)``.
    """
    if image.ndim != 3 or saliency.shape != tuple(image.shape[-2:]):
        raise MetricError(
            "map and image lie on different grids",
            expected=f"a map {tuple(image.shape[-2:])} for the image {tuple(image.shape)}",
            got=str(saliency.shape),
            todo="upsample the map to the model's input first",
        )
    return bool(np.isfinite(saliency).all())


def scores_of(probe: Probe, images: Tensor, target: int, output: Output) -> Tensor:
    """The explained class's score of each image.

    Raises:
        MetricError: The network has no such class, or gives no logits ``(N, K)``.
    """
    logits = probe(images)
    check_class(logits, target)
    scores: Tensor = class_score(logits, target, output=output)
    return scores


def check_class(logits: Tensor, target: int) -> None:
    """Check that a network which gives these logits has a class; one logit tells two classes apart.

    Raises:
        MetricError: It has not, or these are no logits ``(N, K)``.
    """
    if logits.ndim != 2:
        raise MetricError("no logits", expected="(N, K)", got=str(tuple(logits.shape)))
    classes = max(2, logits.shape[1])
    if target >= classes:
        raise MetricError(
            "the network has no such class", expected=f"a target below {classes}", got=str(target)
        )


@lru_cache(maxsize=4)
def _shuffled(count: int, seed: int) -> NDArray[np.intp]:
    """A random order, drawn once for many maps of one size: on small images it is a tenth of a curve."""
    return np.random.default_rng(seed).permutation(count)


def _turns(values: NDArray[Any], order: Order, seed: int) -> Turns:
    """The turn of each value; those that tie go in random order, so that a constant map is no order."""
    if order not in ("morf", "lerf", "random"):
        raise MetricError("unknown order", expected="'morf', 'lerf' or 'random'", got=repr(order))
    flat, shuffled = values.ravel(), _shuffled(values.size, seed)
    if order == "random":
        sequence = shuffled
    else:
        key = -flat[shuffled] if order == "morf" else flat[shuffled]
        sequence = shuffled[np.argsort(key, kind="stable")]
    turns = np.empty(flat.size, np.int32)
    turns[sequence] = np.arange(flat.size, dtype=np.int32)
    return turns.reshape(values.shape)


def pixel_turns(saliency: Map, order: Order = "morf", seed: int = 0) -> Turns:
    """The turn ``(H, W)`` at which each pixel is altered, from 0.

    >>> pixel_turns(np.array([[0.1, 0.9], [0.5, 0.2]])).tolist()
    [[3, 0], [1, 2]]
    """
    return _turns(saliency, order, seed)


def region_turns(saliency: Map, region: int, order: Order = "morf", seed: int = 0) -> Turns:
    """The turn ``(H, W)`` of each pixel's region: squares in a grid from the top left, cut at the border.

    A region is as relevant as the mean of its pixels, so that cut regions are not put last. Regions of equal
    pixels tie, whatever their number and order.

    >>> region_turns(np.array([[0.0, 0.0, 5.0], [0.0, 4.0, 0.0]]), 2).tolist()
    [[1, 1, 0], [1, 1, 0]]
    """
    rows, columns = saliency.shape
    top, left = np.arange(0, rows, region), np.arange(0, columns, region)
    sizes = np.minimum(region, rows - top)[:, None] * np.minimum(region, columns - left)
    turns = _turns(_region_means(unit_scale(saliency), top, left, sizes), order, seed)
    return turns.repeat(region, axis=0).repeat(region, axis=1)[:rows, :columns]


def _region_means(
    values: NDArray[np.float64], top: NDArray[np.intp], left: NDArray[np.intp], sizes: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Means of regions, rounded once each.

    A number is the sum of two of half its digits each, and sums of so short ones are exact (of magnitudes up
    to nine digits apart): the same pixels have the same mean in whatever order they are added.
    """
    coarse = values.astype(np.float32).astype(np.float64)

    def over(part: NDArray[np.float64], how: np.ufunc) -> NDArray[np.float64]:
        return np.asarray(how.reduceat(how.reduceat(part, top, axis=0), left, axis=1))

    means = (over(coarse, np.add) + over(values - coarse, np.add)) / sizes
    return np.clip(means, over(values, np.minimum), over(values, np.maximum))


def filler(image: Tensor, kind: Fill, *, strength: float = 0.1, sigma: float = 5.0, seed: int = 0) -> Replace:
    r"""What comes where an image ``(C, H, W)`` is altered, the :math:`g` of perturbation curves.

    Args:
        image: ``(C, H, W)`` as the network takes it.
        kind: ``uniform``: uniform noise over the image's range; ``gaussian``: the image with noise
            :math:`N(0, s)` added; ``blur``; ``mean`` of each channel; a number; ``shuffle``: pixels from
            other places of the image; ``inpaint``: noisy linear imputation from what is left (`impute`).
        strength: :math:`s`, for ``gaussian`` and, times 0.1, the noise of ``inpaint``.
        sigma: Width of the blur, pixels.
        seed: Seed of the noise.

    Raises:
        SaliencyError: The kind is not known.
    """
    if kind == "inpaint":
        rng = np.random.default_rng(seed)
        pixels = to_numpy(image)
        return lambda masks: torch.stack(
            [torch.from_numpy(impute(pixels, m, 0.1 * strength, rng)) for m in masks.bool().cpu().numpy()]
        ).to(image)
    filled = _fixed(image, kind, strength, sigma, seed)
    return lambda masks: blend(filled, image, masks)


def _fixed(image: Tensor, kind: Fill, strength: float, sigma: float, seed: int) -> Tensor:
    """The image as it is when altered everywhere."""
    noise = torch.Generator(image.device).manual_seed(seed)
    if kind == "uniform":
        low, high = image.amin(), image.amax()
        return low + (high - low) * torch.rand(
            image.shape, generator=noise, device=image.device, dtype=image.dtype
        )
    if kind == "gaussian":
        return image + strength * torch.randn(
            image.shape, generator=noise, device=image.device, dtype=image.dtype
        )
    if kind == "shuffle":
        places = torch.randperm(image[0].numel(), generator=noise, device=image.device)
        return image.flatten(1)[:, places].reshape(image.shape)
    return baseline(image, kind, sigma=sigma)


def curve(
    probe: Probe,
    image: Tensor,
    replace: Replace,
    turns: Turns,
    points: Sequence[int],
    target: int,
    *,
    output: Output = "probability",
) -> Curve:
    """Scores after so many turns, in batches; of a network only what a turn changes passes its early layers.

    Args:
        probe: Scores batches.
        image: ``(C, H, W)``.
        replace: Makes its altered copies.
        turns: Order of removal ``(H, W)``.
        points: After how many turns to score; begin with 0.
        target: The explained class.
        output: See `xiqa.saliency.probe.class_score`.
    """
    limits = np.array(points, turns.dtype)
    order, after = (torch.from_numpy(array).to(image.device) for array in (turns, limits))
    steps = incremental(probe)
    scores: list[float] = []
    for part in chunks(len(limits), (turns.shape[0], turns.shape[1]), several=steps is not probe):
        masks = image.new_empty((part.stop - part.start, *turns.shape))  # numbers blend sooner than booleans
        copies = replace(torch.lt(order, after[part, None, None], out=masks))
        scores += scores_of(steps, copies, target, output).tolist()
    return Curve(limits / (turns.max() + 1), np.array(scores))
