"""X-ray pictures of other things, drawn by chance: side views of a chest, limbs, bellies, no body at all.

They are no atlas. Each drawing has its own proportions, exposure and noise, so that what they share is only
that they are not the frontal view of a chest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from xiqa.types import FloatArray

__all__ = ["body", "junk", "lateral_chest"]

Rng = np.random.Generator
SIDE = 128
Y, X = (np.mgrid[:SIDE, :SIDE] / SIDE).astype(np.float32)


def _ellipsoid(y: float, x: float, tall: float, broad: float, turn: float = 0.0) -> FloatArray:
    """Path length through an ellipsoid, 1 in its middle; places and half axes as fractions of the side."""
    cos, sin = np.cos(turn), np.sin(turn)
    across, down = (X - x) * cos + (Y - y) * sin, (Y - y) * cos - (X - x) * sin
    inside = 1 - (across / broad) ** 2 - (down / tall) ** 2
    return np.asarray(np.sqrt(np.clip(inside, 0, None)), dtype=np.float32)


def _rod(start: tuple[float, float], end: tuple[float, float], radius: float) -> FloatArray:
    """Path length through a round rod between two places (y, x), 1 in its middle."""
    (y0, x0), (y1, x1) = start, end
    length = (y1 - y0) ** 2 + (x1 - x0) ** 2 + 1e-6
    along = np.clip(((Y - y0) * (y1 - y0) + (X - x0) * (x1 - x0)) / length, 0, 1)
    squared = (Y - y0 - along * (y1 - y0)) ** 2 + (X - x0 - along * (x1 - x0)) ** 2
    return np.asarray(np.sqrt(np.clip(1 - squared / radius**2, 0, None)), dtype=np.float32)


def _expose(attenuation: FloatArray, rng: Rng) -> FloatArray:
    """A picture of an attenuation, linear or saturating, with grain, blur and a window."""
    total = np.clip(attenuation, 0, None)
    film = 1 - np.exp(-total * rng.uniform(0.4, 1.2)) if rng.random() < 0.5 else total
    grain = rng.normal(0, 0.01, film.shape) * film.std()
    film = gaussian_filter(film + grain, rng.uniform(0.3, 1.5))
    low, high = np.quantile(film, (rng.uniform(0, 0.1), rng.uniform(0.97, 1)))
    return np.asarray(np.clip((film - low) / max(float(high - low), 1e-3), 0, 1), dtype=np.float32)


def lateral_chest(rng: Rng) -> FloatArray:
    """A chest from the side, facing either way: one dark field, the heart in front, the spine behind."""
    depth, x = rng.uniform(0.28, 0.44), 0.5 + rng.normal(0, 0.03)
    lung = rng.uniform(0.42, 0.52), x + rng.uniform(-0.03, 0.05)
    total = rng.uniform(2.5, 4) * _ellipsoid(0.6, x, rng.uniform(0.55, 0.8), depth)
    total += rng.uniform(0.3, 1.5) * _ellipsoid(0.12, x, rng.uniform(0.08, 0.2), rng.uniform(0.15, 0.3))
    size = rng.uniform(0.28, 0.38), depth * rng.uniform(0.6, 0.8)
    total -= rng.uniform(1.4, 2.3) * _ellipsoid(*lung, *size, rng.uniform(-0.25, 0.15))
    heart = rng.uniform(0.54, 0.66), x - depth * rng.uniform(0.2, 0.45)
    total += rng.uniform(0.8, 1.6) * _ellipsoid(*heart, *rng.uniform(0.1, 0.18, 2))
    total += rng.uniform(0.4, 1.0) * _ellipsoid(lung[0] - 0.04, lung[1], 0.07, rng.uniform(0.03, 0.07))
    total += rng.uniform(1, 2) * _ellipsoid(rng.uniform(0.85, 1.0), x, rng.uniform(0.18, 0.28), depth)
    if rng.random() < 0.4:  # an arm that was not lifted out of the way
        total += rng.uniform(0.3, 0.9) * _rod((0.0, x), (rng.uniform(0.3, 0.7), x + rng.normal(0, 0.1)), 0.07)
    for y in np.arange(0.06, 1.0, 0.075):
        total += rng.uniform(0.4, 1) * _ellipsoid(y, x + depth * (0.78 - 0.1 * np.sin(3 * y)), 0.03, 0.05)
        rib = (y + 0.06, x + depth * 0.75), (y + rng.uniform(0.14, 0.24), x - depth * 0.7)
        total += 0.2 * _rod(*rib, 0.012)
    film = _expose(total, rng)[:, :: rng.choice([-1, 1])]
    cut = int(SIDE * rng.uniform(0.08, 0.2)) if rng.random() < 0.6 else 0
    return film[:, cut : SIDE - cut]


def body(rng: Rng) -> FloatArray:
    """Soft parts, bones and gas of no body in particular; now and then a negative."""
    total = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(rng.integers(1, 4)):
        if rng.random() < 0.5:
            total += rng.uniform(0.5, 3) * _ellipsoid(*rng.uniform(0.2, 0.8, 2), *rng.uniform(0.15, 0.9, 2))
        else:
            start, end = rng.uniform(-0.3, 1.3, (2, 2))
            total += rng.uniform(0.5, 2) * _rod(tuple(start), tuple(end), rng.uniform(0.05, 0.3))
    draw = (_long_bones, _round_bones, _fingers, _gas)[rng.integers(4)]
    for _ in range(rng.integers(1, 14)):
        total += draw(rng)
    if rng.random() < 0.3:
        x = rng.uniform(0.3, 0.7)
        total += sum(0.8 * _ellipsoid(y, x, 0.03, 0.06) for y in np.arange(0, 1, 0.07))
    film = _expose(total, rng)
    return film if rng.random() < 0.85 else 1 - film


def _long_bones(rng: Rng) -> FloatArray:
    start = rng.uniform(0, 1, 2)
    return rng.uniform(0.4, 1.5) * _rod(
        tuple(start), tuple(start + rng.uniform(-0.4, 0.4, 2)), rng.uniform(0.008, 0.06)
    )


def _round_bones(rng: Rng) -> FloatArray:
    (y, x), (tall, broad) = rng.uniform(0, 1, 2), rng.uniform(0.02, 0.2, 2)
    return rng.uniform(0.3, 1.5) * _ellipsoid(y, x, tall, broad, rng.uniform(0, 3))


def _fingers(rng: Rng) -> FloatArray:
    y, far = rng.uniform(0.2, 0.8), rng.uniform(-0.2, 1.2)
    return rng.uniform(0.4, 1.2) * _rod(
        (y, rng.uniform(0.2, 0.8)), (far, rng.uniform(0.2, 0.8)), rng.uniform(0.01, 0.05)
    )


def _gas(rng: Rng) -> FloatArray:
    (y, x), (tall, broad) = rng.uniform(0.1, 0.9, 2), rng.uniform(0.02, 0.18, 2)
    return -rng.uniform(0.1, 0.8) * _ellipsoid(y, x, tall, broad, rng.uniform(0, 3))


def junk(rng: Rng) -> FloatArray:
    """No body: one grey, noise of any grain, a ramp, rectangles, stripes."""
    kind = rng.integers(5)
    if kind == 0:
        film = np.full((SIDE, SIDE), rng.uniform(0, 1))
    elif kind == 1:
        grain = gaussian_filter(rng.standard_normal((SIDE, SIDE)), rng.choice([0.01, 1, 3, 8, 16, 30]))
        film = 0.5 + rng.uniform(0.05, 0.35) * grain / grain.std()
    elif kind == 2:
        film = Y * rng.normal() + X * rng.normal()
        film = (film - film.min()) / (np.ptp(film) + 1e-6)
    elif kind == 3:
        film = np.full((SIDE, SIDE), rng.uniform(0, 1))
        for _ in range(rng.integers(1, 12)):
            (y, x), (tall, broad) = rng.integers(0, SIDE, 2), rng.integers(3, 90, 2)
            film[y : y + tall, x : x + broad] = rng.uniform(0, 1)
        film = gaussian_filter(film, rng.uniform(0.01, 3))
    else:
        film = 0.5 + 0.5 * rng.uniform(0.2, 1) * np.sin(X * rng.uniform(3, 60) + Y * rng.uniform(3, 60))
    return np.asarray(np.clip(film, 0, 1), dtype=np.float32)
