r"""Occlusion: how far the score falls when a sliding window hides a part of the image."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from xiqa.errors import SaliencyError
from xiqa.saliency.arrays import Array, library, like, to_numpy
from xiqa.saliency.incremental import incremental
from xiqa.saliency.perturbation.copies import baseline as hidden_image
from xiqa.saliency.perturbation.copies import chunks, score_of
from xiqa.saliency.registry import probe_method

if TYPE_CHECKING:
    from xiqa.saliency.perturbation.copies import Score
    from xiqa.saliency.probe import ProbeRecord

__all__ = ["occlude", "occlusion", "starts"]


def starts(side: int, window: int, stride: int) -> list[int]:
    """Where windows begin so that they cover a side: every stride, and one flush with the end.

    >>> starts(10, 4, 4)
    [0, 4, 6]
    """
    last = max(0, side - window)
    places = list(range(0, last + 1, stride))
    return places if places[-1] == last else [*places, last]


def occlude(
    score: Score,
    image: Array,
    hidden: Array,
    *,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    several: bool = False,
) -> Array:
    r"""The mean drop of the score over the windows that hide a pixel.

    .. math:: S(\lambda) = \frac{1}{|W_\lambda|} \sum_{w \in W_\lambda} f(x) - f(x_{\setminus w})

    Args:
        score: The class's score of altered copies.
        image: ``(C, H, W)``, or a volume ``(C, D, H, W)``.
        hidden: Of the same shape, what a window shows.
        window: (rows, columns) of the window, with slices before them in a volume.
        stride: Its steps, likewise. The last window of a row or column is flush with the border, so that
            every pixel is hidden at least once (the source leaves the border open).
        several: See `xiqa.saliency.perturbation.copies.chunks`.

    Returns:
        ``(H, W)``, positive where hiding lowers the score. Source: zeiler2014visualizing, section 4.2.
    """
    size = tuple(map(int, image.shape[1:]))
    lengths = tuple(map(min, window, size))
    begins = product(*map(starts, size, lengths, stride))
    windows = [tuple(slice(a, a + length) for a, length in zip(at, lengths, strict=True)) for at in begins]
    whole = to_numpy(score(image[None])).astype(np.float64)
    drops, cover = np.zeros(size), np.zeros(size)
    for part in chunks(len(windows), size, several=several):
        copies = library(image).tile(image, (len(windows[part]), *[1] * image.ndim))
        for copy, place in zip(copies, windows[part], strict=True):
            copy[:, *place] = hidden[:, *place]
        for value, place in zip(whole - to_numpy(score(copies)), windows[part], strict=True):
            drops[place] += value
            cover[place] += 1
    return like(drops / cover, image)


def _pixels(length: float, side: int) -> int:
    """A length in pixels: given so, or below 1 as a fraction of a side."""
    if length <= 0:
        raise SaliencyError(
            "a window needs a size", expected="pixels, or a fraction of the side", got=str(length)
        )
    return max(1, round(length * side)) if length < 1 else round(length)


@probe_method("occlusion", cite="zeiler2014visualizing", portable=True, dims=(2, 3))
def occlusion(
    sample: ProbeRecord,
    *,
    window: float = 0.125,
    stride: float = 0.0625,
    baseline: str | float = 0.0,
    output: str = "probability",
) -> Array:
    r"""Occlusion: how far the score falls when a sliding window hides a part of the image.

    .. math:: S(\lambda) = \frac{1}{|W_\lambda|} \sum_{w \in W_\lambda} p_c(x) - p_c(x_{\setminus w})

    It sees nothing but scores, so it explains any model. Of a PyTorch network only what a window changes
    passes the early layers (nakandala2019incremental), which gives the same scores.

    Args:
        sample: The image and its scores.
        window: Side of the square window in pixels, or below 1 as a fraction of the image's shorter side. In
            a volume the window is a block of as many slices, or of the same fraction of them.
        stride: Its steps, likewise.
        baseline: What the window shows; see `xiqa.saliency.perturbation.copies.baseline`.
        output: ``probability`` or ``logit``.

    Returns:
        ``(H, W)``, positive where hiding lowers the score. Source: zeiler2014visualizing, section 4.2.
    """
    image = sample.image
    short = int(min(image.shape[-2:]))
    sides = (*map(int, image.shape[1:-2]), short, short)
    near = incremental(sample.probe, image)
    return occlude(
        score_of(replace(sample, probe=near), output),
        image,
        hidden_image(image, baseline, dims=len(sides)),
        window=tuple(_pixels(window, side) for side in sides),
        stride=tuple(_pixels(stride, side) for side in sides),
        several=near is not sample.probe,
    )
