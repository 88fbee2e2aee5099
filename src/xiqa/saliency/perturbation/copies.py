r"""What all perturbation methods share: what replaces a pixel, and scoring many altered copies of an image.

A *score* here is a function of altered copies ``(M, C, H, W)`` of one image that gives the explained class's
score of each, ``(M,)``. It hides the network, the target and the batch size from the methods.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.ndimage import gaussian_filter

from xiqa.errors import SaliencyError
from xiqa.saliency.arrays import A, library, like, to_numpy
from xiqa.saliency.probe import class_score

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import Tensor

    from xiqa.saliency.probe import ProbeRecord

__all__ = ["Score", "baseline", "blend", "chunks", "generator", "score_all", "score_logits", "score_of"]

Score = Callable[["Tensor"], "Tensor"]  # or from a NumPy array to one

_CHUNK_PIXELS = 4 * 600 * 600  # pixels that pass at once, whatever the image's size
_SEVERAL_PIXELS = 2**23  # where images pass in windows


def generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh source of noise; one an image, so that a batch's other images do not change its map.

    >>> import torch
    >>> torch.equal(torch.rand(3, generator=generator(7)), torch.rand(3, generator=generator(7)))
    True
    """
    import torch  # noqa: PLC0415 - the rest of this module needs no torch

    return torch.Generator(device).manual_seed(seed)


def chunks(total: int, size: tuple[int, ...], *, several: bool = False) -> Iterator[slice]:
    """Slices of ``range(total)`` that bound the pixels in memory at once for images of one size.

    Args:
        total: How many images.
        size: Their rows and columns, and slices before them.
        several: Larger slices, for an `xiqa.saliency.probe.incremental` probe: of many images at once, few
            of them whole.

    >>> [(part.start, part.stop) for part in chunks(3, (1200, 1200))]
    [(0, 1), (1, 2), (2, 3)]
    """
    pixels = _SEVERAL_PIXELS if several else _CHUNK_PIXELS
    step = max(1, min(64, pixels // math.prod(size)))
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))


def baseline(image: A, kind: str | float = 0.0, *, sigma: float = 10.0, dims: int = 2) -> A:
    """What an image looks like where nothing is told: the value that replaces hidden pixels.

    Args:
        image: ``(..., C, H, W)`` as the network takes it (normalised), or volumes ``(N, C, D, H, W)``.
        kind: A number (0 is the training set's mean where inputs are standardised), ``"mean"``: each
            channel's mean over the image, ``"min"`` likewise, or ``"blur"``: a Gaussian blur.
        sigma: Width of the blur in pixels.
        dims: How many of the last axes are places: 2, or 3 of volumes.

    Returns:
        An array like ``image``.

    Raises:
        SaliencyError: The kind is not known.

    >>> baseline(np.array([[[1.0, 3.0]]]), "mean")
    array([[[2., 2.]]])
    """
    both = library(image)
    if kind in ("mean", "min"):
        find = both.mean if kind == "mean" else both.amin
        return cast(
            "A", both.broadcast_to(find(image, axis=tuple(range(-dims, 0)), keepdims=True), image.shape)
        )
    if kind == "blur":
        return like(
            gaussian_filter(to_numpy(image), sigma, axes=tuple(range(-dims, 0)), mode="reflect"), image
        )
    if isinstance(kind, str):
        raise SaliencyError("unknown baseline", expected="a number, 'mean', 'min' or 'blur'", got=repr(kind))
    return cast("A", both.full_like(image, float(kind)))


def blend(image: A, hidden: A, masks: A) -> A:
    r"""Masked copies, :math:`m \circ x + (1 - m) \circ b`.

    Args:
        image: ``(C, H, W)``, seen where a mask is 1.
        hidden: ``(C, H, W)``, seen where a mask is 0.
        masks: ``(M, H, W)`` in [0, 1].

    Returns:
        ``(M, C, H, W)``; of finite tensors the very numbers of one or the other where a mask is 1 or 0.
    """
    if isinstance(image, np.ndarray):
        return cast("A", hidden + masks[:, None] * (image - hidden))
    return cast("A", library(image).lerp(hidden, image, masks[:, None]))


def score_all(score: Score, image: A, hidden: A, masks: Callable[[slice], A], total: int) -> A:
    """Scores ``(total,)`` of masked copies of ``(C, H, W)``; the masks of a slice are made when needed."""
    parts = chunks(total, tuple(image.shape[1:]))
    scores = [score(blend(image, hidden, masks(part))) for part in parts]
    return cast("A", library(image).concatenate(scores))


def score_of(sample: ProbeRecord, output: str) -> Score:
    """How copies of an image are scored: by the class's ``probability`` or its ``logit``.

    Raises:
        SaliencyError: Another output.
    """
    return lambda copies: score_logits(sample, sample.probe(copies), output)


def score_logits(sample: ProbeRecord, logits: A, output: str) -> A:
    """The explained class's ``probability`` or ``logit`` in logits ``(M, K)``: ``(M,)``.

    Raises:
        SaliencyError: Another output.
    """
    if output not in ("probability", "logit"):
        raise SaliencyError("unknown score", expected="probability or logit", got=repr(output))
    if output == "probability" and sample.multilabel:
        output = "sigmoid"
    return class_score(logits, sample.target, output=output)
