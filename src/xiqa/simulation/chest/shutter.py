"""The image's edges: collimation, a plate that lies askew, bright strips."""

from __future__ import annotations

import math

import numpy as np

from xiqa.types import FloatArray

__all__ = ["draw_shutter"]


def draw_shutter(size: tuple[int, int], rng: np.random.Generator) -> tuple[FloatArray | None, float]:
    """How open each pixel is, 0 to 1, and the grey of what is shut; None for an image exposed to its edges.

    Args:
        size: Rows and columns of the image.
        rng: Source of the edges.
    """
    if rng.random() < 0.45:
        return None, 0.0
    rows, columns = size
    angle = float(rng.normal(0, 0.035)) if rng.random() < 0.5 else 0.0
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    x = np.linspace(-0.5, 0.5, columns, dtype=np.float32)[None, :]
    y = np.linspace(-0.5, 0.5, rows, dtype=np.float32)[:, None]
    u, v = (cos * x + sin * y, cos * y - sin * x) if angle else (x, y)
    sides = np.where(rng.random(4) < 0.45, rng.gamma(1.2, 0.022, 4), -0.1)
    inside = np.minimum(
        np.minimum(u + np.float32(0.5 - sides[0]), np.float32(0.5 - sides[1]) - u),
        np.minimum(v + np.float32(0.5 - sides[2]), np.float32(0.5 - sides[3]) - v),
    )
    softness = 0.5 / columns if rng.random() < 0.7 else 2.0 / columns
    return np.clip(inside / np.float32(2 * softness) + np.float32(0.5), 0, 1), float(
        rng.uniform(0.9, 1.0) if rng.random() < 0.06 else rng.uniform(0.0, 0.02)
    )
