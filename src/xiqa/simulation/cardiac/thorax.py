"""The chest around the heart in one oblique slice: wall, lungs, spine, aorta, liver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Painter", "paint_thorax"]

AIR, LUNG, MUSCLE, FAT, LIVER, BONE, BLOOD = 0.0, 0.06, 0.28, 0.85, 0.33, 0.22, 0.95


class Painter:
    """A slice that tissues are painted on, with partial-volume edges.

    Args:
        x: Millimetres along the columns, ``(H, W)``.
        y: Millimetres along the rows, ``(H, W)``.
        edge: Width of the partial-volume edge, mm.
    """

    def __init__(self, x: Array, y: Array, edge: float) -> None:
        self.x, self.y, self.edge = x, y, edge
        self.signal = np.zeros_like(x)

    def coverage(self, distance: Array) -> Array:
        """Part of each pixel inside a shape, from its signed distance."""
        return np.clip(0.5 - distance / self.edge, 0, 1)

    def paint(self, distance: Array, signal: float | Array) -> Array:
        """Cover the inside of a shape with a signal; gives the coverage."""
        cover = self.coverage(distance)
        self.signal = self.signal * (1 - cover) + signal * cover
        return cover

    def ellipse(self, centre: tuple[float, float], axes: tuple[float, float], power: float = 2.0) -> Array:
        """Signed distance to an upright (super-)ellipse, approximate away from its edge."""
        u, v = (self.x - centre[0]) / axes[0], (self.y - centre[1]) / axes[1]
        radius = (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
        return np.asarray((radius - 1) * min(axes))


def texture(rng: np.random.Generator, size: tuple[int, int], sigma: float) -> Array:
    """Smooth noise of unit standard deviation."""
    field = gaussian_filter(rng.standard_normal(size), sigma)
    return np.asarray(field / (field.std() + 1e-12))


def paint_thorax(painter: Painter, rng: np.random.Generator) -> None:
    """Paint everything but the heart; the heart's place is the origin of the millimetres."""
    size = painter.signal.shape
    body = (rng.uniform(150, 185), rng.uniform(105, 135))
    centre = (rng.uniform(-45, -15), rng.uniform(5, 30))
    wall, fat = rng.uniform(14, 22), rng.uniform(5, 22)
    bright = rng.uniform(0.8, 1.35)  # fat outshines blood where the coil is near
    coarse = texture(rng, size, 9)
    fine = texture(rng, size, 2)

    def oval(shrink: float) -> Array:
        return painter.ellipse(centre, (body[0] - shrink, body[1] - shrink), 2.4)

    painter.paint(oval(0), bright * FAT * (1 + 0.04 * fine))
    painter.paint(oval(fat), MUSCLE * (1 + 0.12 * fine))
    painter.paint(oval(fat + wall), LUNG * (1 + 0.3 * coarse))
    for _ in range(rng.integers(25, 45)):  # lung vessels, cut across
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.95)
        place = (
            centre[0] + reach * (body[0] - wall - fat) * np.cos(angle),
            centre[1] + reach * (body[1] - wall - fat) * np.sin(angle),
        )
        painter.paint(painter.ellipse(place, tuple(rng.uniform(1.2, 3.5, 2))), BLOOD * rng.uniform(0.3, 0.8))
    mediastinum = painter.ellipse((centre[0], centre[1] + 25), (rng.uniform(38, 55), body[1] * 0.75))
    painter.paint(mediastinum, (0.5 * FAT + 0.5 * MUSCLE) * (1 + 0.15 * coarse))
    if rng.random() < 0.6:  # the dome of the liver reaches into the slice
        dome = (centre[0] - rng.uniform(70, 95), centre[1] - rng.uniform(-10, 30))
        liver = painter.ellipse(dome, (rng.uniform(30, 60), rng.uniform(35, 60)))
        painter.paint(np.maximum(liver, oval(fat + wall)), LIVER * (1 + 0.06 * fine))
    back = centre[1] + body[1] - wall - fat - 18
    painter.paint(painter.ellipse((centre[0], back), (22, 19)), BONE * (1 + 0.15 * fine))
    painter.paint(painter.ellipse((centre[0], back + 22), (9, 8)), 0.7)  # spinal canal
    aorta = (centre[0] + rng.uniform(22, 34), back - rng.uniform(8, 20))
    radius = rng.uniform(9, 14)
    painter.paint(painter.ellipse(aorta, (radius + 2, radius + 2)), MUSCLE)
    painter.paint(painter.ellipse(aorta, (radius, radius)), BLOOD)
