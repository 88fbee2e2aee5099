"""Maps brought to a scale on which sums neither overflow nor vanish, and to shares of what they show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xiqa.metrics.arguments import Map

__all__ = ["as_distribution", "unit_map", "unit_scale"]


def unit_scale(saliency: Map) -> NDArray[np.float64]:
    """The finite map over a power of two, so that its largest magnitude is in [1/2, 1): every digit stays.

    >>> unit_scale(np.array([[3.0, -1.0]])).tolist()
    [[0.75, -0.25]]
    """
    values = np.asarray(saliency, dtype=np.float64)
    return np.ldexp(values, -int(np.frexp(np.abs(values).max())[1]))


def unit_map(saliency: Map) -> Map:
    """The map stretched to [0, 1]; the map must not be constant."""
    values = unit_scale(saliency)
    low, high = values.min(), values.max()
    return np.asarray((values - low) / (high - low))


def as_distribution(saliency: Map) -> NDArray[np.float64] | None:
    """The positive part, scaled to the sum 1; None where nothing is positive or something not finite.

    >>> as_distribution(np.array([[1.0, 3.0, -2.0]])).tolist()
    [[0.25, 0.75, 0.0]]
    """
    positive = np.maximum(saliency, 0)
    if not np.isfinite(saliency).all() or not positive.any():
        return None
    scaled = unit_scale(positive)
    return np.asarray(scaled / scaled.sum())
