"""Images that a model of frontal chest radiographs was not made for, to try its guard on.

A committed list, made from nothing but seeds and scikit-image's own pictures; where the hospital's
radiographs are at hand, they are turned as well. The drawn radiographs (hand, lateral chest, abdomen) are
Beer and Lambert's law over a few ellipsoids and rods: enough to be an X-ray of another part, not an atlas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from xiqa.simulation.cardiac import simulate_cardiac
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.seeds import GUARD
from xiqa.types import FloatArray, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xiqa.datasets import Sample

__all__ = ["PHOTOGRAPHS", "other_sources", "turned_images"]

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "cat", "cell", "clock", "coffee", "coins", "colorwheel", "grass",
    "gravel", "horse", "hubble_deep_field", "immunohistochemistry", "moon", "page", "retina", "rocket",
    "text",
)  # fmt: skip
"""Pictures that come inside scikit-image."""

SIDE = 512


def other_sources(count: int = 20) -> Iterator[tuple[str, Image]]:
    """Images of every kind that needs no image.

    Args:
        count: How many of each made kind; photographs are as many as there are.

    Yields:
        Kind and image.
    """
    from skimage import data  # noqa: PLC0415 - slow, and only needed here

    for name in PHOTOGRAPHS:
        yield "photograph", Image(_unit(getattr(data, name)()))
    yield "all black", Image(np.zeros((SIDE, SIDE), dtype=np.float32))
    yield "all white", Image(np.ones((SIDE, SIDE), dtype=np.float32))
    drawn: dict[str, Callable[[np.random.Generator], FloatArray]] = {
        "uniform grey": lambda rng: np.full((SIDE, SIDE), rng.uniform(0.05, 0.95), dtype=np.float32),
        "noise": _noise,
        "hand": _hand,
        "lateral chest": _lateral,
        "abdomen": _abdomen,
    }
    for kind, draw in drawn.items():
        for seed in GUARD.take(count):
            yield kind, Image(draw(np.random.default_rng(seed)))
    for seed in GUARD.take(count):
        yield "cardiac MR", simulate_cardiac(seed).image
        radiograph = simulate_chest(seed, size=(SIDE, SIDE)).image
        yield "simulated image upside down", Image(np.ascontiguousarray(radiograph.pixels[::-1]))


def turned_images(samples: Sequence[Sample]) -> Iterator[tuple[str, Image]]:
    """Real frontal radiographs as they must not lie: upside down, on their side, as a negative."""
    for sample in samples:
        pixels = sample.read().pixels
        yield "image upside down", Image(np.ascontiguousarray(pixels[::-1, ::-1]))
        yield "image on its side", Image(np.ascontiguousarray(np.rot90(pixels)))
        yield "image as a negative", Image(1 - pixels)


def _unit(pixels: np.ndarray) -> FloatArray:
    """A picture as float32 in [0, 1], three channels or none."""
    values = pixels.astype(np.float32)
    values = values[..., :3] if values.ndim == 3 else values
    return np.asarray(values / max(float(values.max()), 1e-6), dtype=np.float32)


def _noise(rng: np.random.Generator) -> FloatArray:
    """White or blurred noise of a random contrast."""
    noise = gaussian_filter(rng.standard_normal((SIDE, SIDE)), rng.choice([0.0, 1.0, 4.0, 16.0]))
    return np.asarray(np.clip(0.5 + rng.uniform(0.1, 0.3) * noise / noise.std(), 0, 1), dtype=np.float32)


def _ellipse(x: float, y: float, width: float, height: float) -> FloatArray:
    """Path length through an ellipsoid, 1 in its middle; places and half axes as fractions of the side."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    inside = 1 - ((columns - x) / width) ** 2 - ((rows - y) / height) ** 2
    return np.asarray(np.sqrt(np.clip(inside, 0, None)), dtype=np.float32)


def _rod(start: tuple[float, float], end: tuple[float, float], radius: float) -> FloatArray:
    """Path length through a round rod, 1 in its middle."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    (x0, y0), (x1, y1) = start, end
    length = (x1 - x0) ** 2 + (y1 - y0) ** 2
    along = np.clip(((columns - x0) * (x1 - x0) + (rows - y0) * (y1 - y0)) / length, 0, 1)
    squared = (columns - x0 - along * (x1 - x0)) ** 2 + (rows - y0 - along * (y1 - y0)) ** 2
    return np.asarray(np.sqrt(np.clip(1 - squared / radius**2, 0, None)), dtype=np.float32)


def _expose(attenuation: FloatArray, rng: np.random.Generator) -> FloatArray:
    """An image of an attenuation: photons, noise, blur, logarithm, bright bones."""
    photons = 3000 * np.exp(-attenuation)
    counted = rng.poisson(photons) + 1
    radiograph = gaussian_filter(-np.log(counted / counted.max()), 0.7)
    low, high = np.quantile(radiograph, (0.01, 0.995))
    return np.asarray(np.clip((radiograph - low) / (high - low), 0, 1), dtype=np.float32)


def _hand(rng: np.random.Generator) -> FloatArray:
    """A palm, five fingers of three bones, and a wrist."""
    total = 0.5 * _ellipse(0.5, 0.62, 0.2, 0.2) + 0.5 * _rod((0.5, 0.8), (0.5, 1.1), 0.13)
    total = total + 0.9 * _rod((0.45, 0.85), (0.45, 1.1), 0.04) + 0.8 * _rod((0.56, 0.85), (0.56, 1.1), 0.035)
    for finger, angle in enumerate(np.deg2rad([-55, -18, -4, 10, 26]) + rng.normal(0, 0.04, 5)):
        direction = np.array([np.sin(angle), -np.cos(angle)])
        base = np.array([0.36 + 0.07 * finger, 0.72 - 0.03 * (finger > 0)])
        reach = (0.3, 0.5, 0.55, 0.5, 0.42)[finger] * rng.uniform(0.95, 1.05)
        total = total + 0.4 * _rod(tuple(base), tuple(base + reach * direction), 0.04)
        for start, end in ((0.0, 0.4), (0.43, 0.68), (0.7, 0.86), (0.88, 0.97)):
            bone = tuple(base + start * reach * direction), tuple(base + end * reach * direction)
            total = total + 0.9 * _rod(*bone, 0.017)
    return _expose(total, rng)


def _lateral(rng: np.random.Generator) -> FloatArray:
    """A chest from the side: one dark lung field, the heart in front, the spine behind."""
    total = 3.5 * _ellipse(0.5, 0.6, rng.uniform(0.36, 0.42), 0.62)
    total = total - 1.9 * _ellipse(0.5, 0.48, 0.27, 0.34) + 1.2 * _ellipse(0.38, 0.6, 0.14, 0.15)
    total = total + 1.4 * _ellipse(0.45, 0.95, 0.34, 0.22)
    for number in range(13):
        y = 0.08 + 0.07 * number
        total = total + 0.9 * _ellipse(0.78 - 0.03 * np.sin(3 * y), y, 0.05, 0.028)
    for number in range(9):
        y = 0.16 + 0.07 * number
        total = total + 0.25 * _rod((0.76, y), (0.25, y + rng.uniform(0.1, 0.16)), 0.012)
    return _expose(np.clip(total, 0, None), rng)


def _abdomen(rng: np.random.Generator) -> FloatArray:
    """Spine, pelvis, liver and pockets of gas."""
    total = 4.0 * _ellipse(0.5, 0.5, rng.uniform(0.42, 0.5), 0.9) + 0.6 * _ellipse(0.3, 0.15, 0.22, 0.2)
    for number in range(8):
        total = total + 0.9 * _ellipse(0.5, 0.05 + 0.09 * number, 0.06, 0.035)
    for side in (-1, 1):
        total = (
            total
            + 1.1 * _ellipse(0.5 + 0.21 * side, 0.82, 0.15, 0.13)
            - 0.4 * _ellipse(0.5 + 0.1 * side, 0.93, 0.07, 0.08)
        )
    for _ in range(rng.integers(5, 12)):
        x, y = rng.uniform(0.25, 0.75), rng.uniform(0.2, 0.7)
        total = total - rng.uniform(0.3, 0.8) * _ellipse(
            x, y, rng.uniform(0.03, 0.08), rng.uniform(0.02, 0.05)
        )
    return _expose(np.clip(total, 0, None), rng)
