"""What differs within the same outlines: dense patches of the lungs, gas below the diaphragm."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from xiqa.simulation.chest.body import Body
from xiqa.simulation.chest.grid import texture
from xiqa.types import FloatArray

__all__ = ["Density", "Gas", "draw_density", "draw_gas"]

# Centre, half-axes and turn of an ellipsoid of gas.
Gas = tuple[tuple[float, float], tuple[float, float, float], float]


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """Local density of the lungs over their mean, relative to water.

    Attributes:
        mottle: ``(h, w)``, small vessels and lobules, everywhere.
        cloud: ``(h, w)``, the inner structure of opacities; None in health.
        spots: Centre (x, y) and spread (x, y) of opacities, mm.
        opacity: Their strength, 0 to 1.
    """

    mottle: FloatArray
    cloud: FloatArray | None
    spots: tuple[tuple[float, float, float, float], ...]
    opacity: float

    def at(self, rows: slice) -> Density:
        """The same for some of the rows."""
        return replace(self, mottle=self.mottle[rows], cloud=None if self.cloud is None else self.cloud[rows])

    def over(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """What to add to the lungs' mean density, on the same rows."""
        if self.cloud is None:
            return self.mottle
        where = np.zeros_like(x)
        for middle_x, middle_y, spread_x, spread_y in self.spots:
            u = (x - np.float32(middle_x)) / np.float32(spread_x)
            v = (y - np.float32(middle_y)) / np.float32(spread_y)
            where += np.exp(-u * u - v * v)
        dense = np.minimum(where, 1) * np.clip(0.5 + 0.6 * self.cloud, 0, 1.4)
        haze = np.float32(0.1 * self.opacity)
        return np.asarray(self.mottle * (1 + self.opacity) + np.float32(0.55 * self.opacity) * dense + haze)


def draw_density(body: Body, size: tuple[int, int], rng: np.random.Generator) -> Density:
    """Draw mottle, and opacities where the patient is ill."""
    mottle = 0.016 * texture(size, rng, 1.25, 0.25) + 0.011 * texture(size, rng, 0.6, 0.4)
    if body.opacity == 0:
        return Density(mottle, None, (), 0.0)
    spots = []
    for _ in range(rng.integers(1, 5)):
        side = 1 if rng.random() < 0.5 else -1
        across, down = side * rng.uniform(45, 110) * body.scale, rng.uniform(body.apex + 50, body.right.dome)
        spots.append((across, down, *(rng.uniform(18, 50, 2) * body.scale)))
    return Density(mottle, texture(size, rng, 1.7, 0.08), tuple(spots), body.opacity)


def draw_gas(body: Body, rng: np.random.Generator) -> list[Gas]:
    """Air in the stomach under the left dome, sometimes in the colon too."""
    if not body.bubble:
        return []
    s = body.scale
    centre = (s * rng.uniform(55, 90), body.left.dome + s * rng.uniform(18, 34))
    axes = (s * rng.uniform(14, 38), s * rng.uniform(8, 22), s * rng.uniform(14, 38))
    gas: list[Gas] = [(centre, axes, float(rng.normal(0, 0.25)))]
    for _ in range(rng.integers(0, 5)):
        place = (s * rng.uniform(50, 130), body.left.dome + s * rng.uniform(30, 85))
        gas.append((place, (s * rng.uniform(7, 18), s * rng.uniform(7, 14), 14 * s), 0.0))
    return gas
