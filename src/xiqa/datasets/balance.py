"""Three answers to classes of unequal size: fewer images, weights in the loss, or a weighted sampler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from xiqa.datasets.sample import Sample

__all__ = ["class_weights", "downsample", "label_weights", "sample_weights"]


def downsample(samples: Sequence[Sample], seed: int = 0) -> list[Sample]:
    """As many samples of each class as the rarest has, drawn at random and kept in their order.

    Args:
        samples: Of one split.
        seed: Of the draw.
    """
    labels = np.array([sample.label for sample in samples])
    rarest = min(Counter(labels.tolist()).values(), default=0)
    rng = np.random.default_rng(seed)
    kept = [rng.choice(np.flatnonzero(labels == label), rarest, replace=False) for label in np.unique(labels)]
    return [samples[index] for index in sorted(np.concatenate(kept))] if kept else []


def class_weights(samples: Sequence[Sample], classes: int) -> np.ndarray:
    r"""Weights :math:`w_c = N / (K n_c)` for the loss; a class without samples weighs 0.

    Returns:
        ``(classes,)`` weights whose mean over the samples is 1.
    """
    return label_weights([sample.label for sample in samples], classes)


def label_weights(labels: Sequence[int], classes: int) -> np.ndarray:
    """`class_weights` of labels alone."""
    counts = np.bincount(labels, minlength=classes)
    present = (counts > 0).sum()
    with np.errstate(divide="ignore"):
        return np.where(counts > 0, len(labels) / (present * counts), 0.0)


def sample_weights(samples: Sequence[Sample], classes: int) -> np.ndarray:
    """The weight of each sample's class, for a sampler that draws every class equally often."""
    return class_weights(samples, classes)[[sample.label for sample in samples]]
