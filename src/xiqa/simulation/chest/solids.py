"""Solids whose chord along a ray has a closed form, and where to compute them."""

from __future__ import annotations

import numpy as np

from xiqa.types import FloatArray

__all__ = ["arch", "columns", "crosses", "ellipsoid", "ramp", "rod"]


def arch(t: FloatArray, power: int) -> FloatArray:
    """``(1 - t^p)^(1/2)`` for ``p`` of 2 or 4, 0 where ``|t| > 1``."""
    square = np.minimum(t * t, 1)
    return np.asarray(np.sqrt(1 - (square if power == 2 else square * square)))


def columns(x: FloatArray, low: float, high: float) -> slice:
    """The columns in which any ``x`` lies between two values: where a narrow part needs to be computed."""
    near = np.flatnonzero(((x > low) & (x < high)).any(0))
    return slice(int(near[0]), int(near[-1]) + 1) if near.size else slice(0, 0)


def crosses(y: FloatArray, low: float, high: float) -> bool:
    """Whether any row comes near heights between two values; saves work where a part cannot be."""
    return bool(y.max() >= low and y.min() <= high)


def ramp(t: FloatArray) -> FloatArray:
    """Smooth step from 0 at ``t <= 0`` to 1 at ``t >= 1``."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def ellipsoid(
    x: FloatArray,
    y: FloatArray,
    centre: tuple[float, float],
    axes: tuple[float, float, float],
    turn: float = 0.0,
) -> FloatArray:
    """Chord through an ellipsoid whose first axis is turned by ``turn`` radians in the image plane."""
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u, v = x - np.float32(centre[0]), y - np.float32(centre[1])
    along, across = (cos * u + sin * v) / np.float32(axes[0]), (cos * v - sin * u) / np.float32(axes[1])
    return np.float32(2 * axes[2]) * np.sqrt(np.maximum(1 - along * along - across * across, 0))


def rod(
    x: FloatArray,
    y: FloatArray,
    start: tuple[float, float],
    end: tuple[float, float],
    radii: tuple[float, float],
) -> FloatArray:
    """Chord through a tapering rod with round ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    u, v = x - np.float32(start[0]), y - np.float32(start[1])
    along = np.clip((u * np.float32(dx) + v * np.float32(dy)) / np.float32(dx * dx + dy * dy), 0, 1)
    u, v = u - along * np.float32(dx), v - along * np.float32(dy)
    radius = np.float32(radii[0]) + along * np.float32(radii[1] - radii[0])
    return 2 * np.sqrt(np.maximum(radius * radius - u * u - v * v, 0))
