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
from xiqa.metrics.impute import impute
from xiqa.metrics.peaks import Map
from xiqa.saliency.incremental import incremental
from xiqa.saliency.perturbation.copies import baseline, blend, chunks
from xiqa.saliency.probe import Probe, class_score

__all__ = ["Curve", "Order", "Replace", "curve", "filler", "is_usable", "pixel_turns", "region_turns"]

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

    A region is as relevant as the mean of its pixels, so that cut regions are not put last. Pixels count in
    single precision: of equal ones the sum in double is exact, so that regions of a constant map tie.

    >>> region_turns(np.array([[0.0, 0.0, 5.0], [0.0, 4.0, 0.0]]), 2).tolist()
    [[1, 1, 0], [1, 1, 0]]
    """
    rows, columns = saliency.shape
    top, left = np.arange(0, rows, region), np.arange(0, columns, region)
    pixels = saliency.astype(np.float32)
    sums = np.add.reduceat(np.add.reduceat(pixels, top, axis=0, dtype=float), left, axis=1)
    means = sums / np.minimum(region, rows - top)[:, None] / np.minimum(region, columns - left)
    turns = _turns(means, order, seed)
    return turns.repeat(region, axis=0).repeat(region, axis=1)[:rows, :columns]


def filler(
    image: Tensor, kind: str | float, *, strength: float = 0.1, sigma: float = 5.0, seed: int = 0
) -> Replace:
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
        pixels = image.detach().cpu().numpy()
        return lambda masks: torch.stack(
            [torch.from_numpy(impute(pixels, m, 0.1 * strength, rng)) for m in masks.bool().cpu().numpy()]
        ).to(image)
    filled = _fixed(image, kind, strength, sigma, seed)
    return lambda masks: blend(filled, image, masks)


def _fixed(image: Tensor, kind: str | float, strength: float, sigma: float, seed: int) -> Tensor:
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
    output: str = "probability",
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
    order, after = (torch.from_numpy(one).to(image.device) for one in (turns, limits))
    steps = incremental(probe)
    scores: list[float] = []
    for part in chunks(len(limits), (turns.shape[0], turns.shape[1]), several=steps is not probe):
        masks = image.new_empty((part.stop - part.start, *turns.shape))  # numbers blend sooner than booleans
        copies = replace(torch.lt(order, after[part, None, None], out=masks))
        scores += class_score(steps(copies), target, output=output).tolist()
    return Curve(limits / (turns.max() + 1), np.array(scores))
