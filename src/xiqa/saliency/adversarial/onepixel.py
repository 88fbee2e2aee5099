r"""The one-pixel attack: the pixel whose new value moves the verdict most, by differential evolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.optimize import differential_evolution
from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency.adversarial.attackmaps import shown
from xiqa.saliency.adversarial.flips import Flip, verdict_margins
from xiqa.saliency.perturbation.copies import chunks
from xiqa.saliency.registry import probe_method

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xiqa.saliency.perturbation.copies import Score
    from xiqa.saliency.probe import ProbeRecord

__all__ = ["one_pixel_flip", "onepixel"]


def one_pixel_flip(
    score: Score,
    image: Tensor,
    *,
    pixels: int = 1,
    population: int = 64,
    iterations: int = 30,
    low: float | None = None,
    high: float | None = None,
    seed: int = 0,
) -> Flip:
    r"""The few pixels whose new values move a score most towards the other sign.

    .. math:: \min_\delta\ \operatorname{sign}(s(x))\, s(x + \delta), \qquad \lVert \delta \rVert_0 \le d

    by differential evolution over places and values, a candidate :math:`a + F(b - c)` with :math:`F = 1/2`
    replacing its parent where it is better; it stops at the first flip. Each generation is scored as a
    batch. Deviations from the source: values are drawn uniformly (a quarter of them at either end of the
    range), not from a Gaussian of eight-bit values; a candidate outside the image is drawn anew.

    Args:
        score: The verdict's score ``(M,)`` of copies ``(M, C, H, W)``.
        image: ``(C, H, W)``.
        pixels: How many pixels may change, d.
        population: Candidates in a generation.
        iterations: Generations.
        low: Least new value; None: the image's least (for a constant image, 1 below).
        high: Largest new value; None: the image's largest (for a constant image, 1 above).
        seed: Start of the random numbers.

    Returns:
        The change of the best candidate, whether it flips or not. Source: su2019one.

    Raises:
        SaliencyError: No pixel, or too few candidates.
    """
    if pixels < 1 or population < 5 or iterations < 1:
        raise SaliencyError(
            "no such search",
            expected="pixels >= 1, population >= 5, iterations >= 1",
            got=f"pixels={pixels}, population={population}, iterations={iterations}",
        )
    channels, rows, columns = image.shape
    lowest, highest = float(image.min()), float(image.max())
    apart = 1.0 if lowest == highest else 0.0
    ends = (lowest - apart if low is None else low, highest + apart if high is None else high)
    before = float(score(image[None])[0])
    way = 1.0 if before > 0 else -1.0

    def changed(candidates: NDArray[np.float64]) -> Tensor:
        """Copies ``(S, C, H, W)`` with the pixels of candidates ``(S, pixels, 2 + C)`` set."""
        copies = image.repeat(len(candidates), 1, 1, 1)
        y = np.minimum((candidates[..., 0] * rows).astype(np.intp), rows - 1)
        x = np.minimum((candidates[..., 1] * columns).astype(np.intp), columns - 1)
        values = ends[0] + (ends[1] - ends[0]) * candidates[..., 2:].clip(0, 1)
        for copy, *colour in zip(copies, y, x, values, strict=True):
            for row, column, value in zip(*colour, strict=True):
                copy[:, row, column] = torch.as_tensor(value).to(image)
        return copies

    def energies(columnwise: NDArray[np.float64]) -> NDArray[np.float64]:
        candidates = columnwise.reshape(columnwise.shape[0], -1).T.reshape(-1, pixels, 2 + channels)
        parts = chunks(len(candidates), (rows, columns))
        scores = torch.cat([score(changed(candidates[part])) for part in parts])
        return way * scores.double().cpu().numpy()

    bounds = ([(0.0, 1.0)] * 2 + [(-0.5, 1.5)] * channels) * pixels
    source = np.random.default_rng(seed)
    edges = np.array(bounds)
    start = source.uniform(edges[:, 0], edges[:, 1], (population, len(bounds)))
    best: Any = differential_evolution(
        energies,
        bounds,
        strategy="rand1bin",
        mutation=0.5,
        recombination=1.0,
        init=start,
        maxiter=iterations,
        tol=0,
        polish=False,
        rng=source,
        vectorized=True,
        updating="deferred",
        callback=lambda intermediate_result: bool(intermediate_result.fun < 0),
    )
    flipped = changed(best.x.reshape(1, pixels, 2 + channels))
    return Flip(flipped[0] - image, before, float(score(flipped)[0]))


@probe_method("onepixel", cite="su2019one")
def onepixel(
    sample: ProbeRecord,
    *,
    pixels: int = 1,
    population: int = 64,
    iterations: int = 30,
    low: float | None = None,
    high: float | None = None,
    norm: str = "l2",
    seed: int = 0,
) -> Tensor:
    r"""One pixel: the pixel whose new value moves the verdict most, and by how much it changes.

    .. math:: S(u) = \lVert \delta(u) \rVert, \qquad
       \delta = \arg\min_{\lVert \delta \rVert_0 \le d} \operatorname{sign}(s(x))\, s(x + \delta)

    by differential evolution; see `one_pixel_flip`. It sees nothing but scores and needs no gradient.

    **Cost**: ``population`` times (``iterations`` + 1) forward passes an image, or fewer where it flips: by
    far the dearest of the attacks. **Not for** large images: one pixel of a megapixel image seldom matters,
    and the map is zero but for that pixel.

    Args:
        sample: The image and its scores.
        pixels: How many pixels may change, d.
        population: Candidates in a generation (the source: 400).
        iterations: Generations (the source: 100).
        low: Least new value; None: the image's least.
        high: Largest new value; None: the image's largest.
        norm: How a pixel's channels become one size; see `xiqa.saliency.gradients.gradient.over_channels`.
        seed: The image's random numbers start here.

    Returns:
        ``(H, W)``, zero where nothing changes. Source: su2019one.
    """

    def score(copies: Tensor) -> Tensor:
        logits = sample.probe(copies)
        return verdict_margins(logits, sample.target, multilabel=sample.multilabel).amin(dim=1)

    flip = one_pixel_flip(
        score,
        sample.image,
        pixels=pixels,
        population=population,
        iterations=iterations,
        low=low,
        high=high,
        seed=seed,
    )
    return shown(flip.change, None, norm)
