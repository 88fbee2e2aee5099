"""Drawing small things by what they attenuate: discs, bars and wires of a material, to a part of a pixel.

A shape is told in its own millimetres by its signed distance; the pen places it, adds its attenuation and
marks exactly the pixels whose centre it covers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np

from xiqa.types import FloatArray, MaskArray

__all__ = ["ATTENUATION", "Part", "Pen", "Points"]

Points = Sequence[tuple[float, float]] | np.ndarray

# Linear attenuation at about 70 keV, 1/mm (NIST XCOM); what an object adds to the air it replaces.
ATTENUATION = {
    "plastic": 0.020,
    "foam": 0.004,
    "rubber": 0.035,
    "barium": 0.35,  # barium-loaded plastic, the stripe of a catheter
    "glass": 0.055,
    "aluminium": 0.068,
    "titanium": 0.26,
    "steel": 0.66,
    "brass": 0.90,
    "copper": 0.95,
    "nickel": 0.95,
    "silver": 4.0,
    "gold": 6.0,
    "lead": 3.9,
}


Window = tuple[slice, slice]


@dataclass(slots=True, eq=False)
class Part:
    """A named part of an object.

    Attributes:
        kind: What it is.
        mask: ``(H, W)``, the pixels whose centre it covers.
        window: Rows and columns outside which nothing was drawn; None as long as nothing was.
    """

    kind: str
    mask: MaskArray
    window: Window | None = None


# Pixels times segments up to which a course is handled at once.
SMALL = 30_000


class Pen:
    """Draws in millimetres of an object that lies somewhere on an image.

    Args:
        size: Rows and columns of the image.
        spacing: Millimetres a pixel.
        origin: Where the object's (0, 0) lies, image pixels (x, y).
        angle: By how much the object is turned, radians.
        scale: Size of the object relative to its usual one.

    Attributes:
        attenuation: ``(H, W)``, what the object adds.
        parts: The object's named parts.

    >>> pen = Pen((40, 40), spacing=0.5, origin=(20, 20))
    >>> pen.disc((0, 0), 5, "steel", 2.0)
    >>> int(pen.mask.sum())  # a circle of 10 pixels' radius
    317
    """

    def __init__(
        self,
        size: tuple[int, int],
        spacing: float,
        origin: tuple[float, float] = (0.0, 0.0),
        angle: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        self.size, self.origin = size, origin
        self.per_mm = scale / spacing  # image pixels a millimetre of the object
        self.cos, self.sin = math.cos(angle), math.sin(angle)
        self.attenuation: FloatArray = np.zeros(size, np.float32)
        self.parts: list[Part] = []

    @property
    def mask(self) -> MaskArray:
        """Every pixel whose centre the object covers."""
        total = np.zeros(self.size, bool)
        for part in self.parts:
            total |= part.mask
        return total

    @property
    def window(self) -> Window:
        """Rows and columns outside which nothing was drawn."""
        drawn = [part.window for part in self.parts if part.window is not None]
        return reduce(_union, drawn) if drawn else (slice(0, 0), slice(0, 0))

    def part(self, kind: str) -> None:
        """What follows belongs to a part of this kind."""
        self.parts.append(Part(kind, np.zeros(self.size, bool)))

    def to_image(self, points: Points) -> np.ndarray:
        """Film pixels ``(n, 2)`` of the object's millimetres."""
        x, y = np.asarray(points, np.float64).reshape(-1, 2).T * self.per_mm
        return np.stack(
            [self.origin[0] + self.cos * x - self.sin * y, self.origin[1] + self.sin * x + self.cos * y], 1
        )

    def to_object(self, points: Points) -> np.ndarray:
        """The object's millimetres ``(n, 2)`` of image pixels."""
        x, y = (np.asarray(points, np.float64).reshape(-1, 2) - np.array(self.origin)).T / self.per_mm
        return np.stack([self.cos * x + self.sin * y, self.cos * y - self.sin * x], 1)

    def _window(self, points: np.ndarray, margin: float) -> Window:
        """Rows and columns of the image around image points."""
        low = np.floor(points.min(0) - margin).astype(int)
        high = np.ceil(points.max(0) + margin).astype(int) + 1
        rows = slice(max(low[1], 0), max(min(high[1], self.size[0]), 0))
        return rows, slice(max(low[0], 0), max(min(high[0], self.size[1]), 0))

    def _local(self, centre: tuple[float, float], reach: float) -> tuple[Window, FloatArray, FloatArray]:
        """A window around a place in the object, and the object's millimetres from there."""
        place = self.to_image([centre])
        window = self._window(place, reach * self.per_mm + 2)
        x = (np.arange(window[1].start, window[1].stop, dtype=np.float32) - np.float32(place[0, 0]))[None, :]
        y = (np.arange(window[0].start, window[0].stop, dtype=np.float32) - np.float32(place[0, 1]))[:, None]
        x, y = x / np.float32(self.per_mm), y / np.float32(self.per_mm)
        cos, sin = np.float32(self.cos), np.float32(self.sin)
        return window, cos * x + sin * y, cos * y - sin * x

    def _fill(self, window: Window, distance: FloatArray, thickness: float, material: str) -> None:
        """Add a plate; ``distance`` in the object's millimetres, negative inside."""
        cover = np.clip(0.5 - distance * np.float32(self.per_mm), 0, 1)
        self.attenuation[window] += np.float32(thickness * ATTENUATION[material]) * cover
        self._mark(window, distance <= 0)

    def _mark(self, window: Window, covered: MaskArray) -> None:
        if not self.parts:
            self.part("object")
        part = self.parts[-1]
        part.mask[window] |= covered
        part.window = window if part.window is None else _union(part.window, window)

    def disc(self, centre: tuple[float, float], radius: float, material: str, thickness: float) -> None:
        """A flat disc."""
        window, x, y = self._local(centre, radius)
        self._fill(window, np.hypot(x, y) - np.float32(radius), thickness, material)

    def ring(
        self,
        centre: tuple[float, float],
        outer: float,
        inner: float,
        material: str,
        thickness: float,
        squash: float = 1.0,
    ) -> None:
        """A flat ring; ``squash`` below 1 shows it tilted."""
        window, x, y = self._local(centre, outer)
        radius = np.hypot(x, y / np.float32(max(squash, 0.1)))
        middle, half = (outer + inner) / 2, max((outer - inner) / 2, 0.3 / self.per_mm)
        self._fill(window, np.abs(radius - np.float32(middle)) - np.float32(half), thickness, material)

    def bar(
        self,
        centre: tuple[float, float],
        half: tuple[float, float],
        material: str,
        thickness: float,
        *,
        corner: float = 0.3,
        turn: float = 0.0,
    ) -> None:
        """A rectangle with round corners, turned by ``turn`` radians."""
        window, x, y = self._local(centre, math.hypot(*half))
        cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
        x, y = cos * x + sin * y, cos * y - sin * x
        corner = min(corner, *half)
        u = np.abs(x) - np.float32(half[0] - corner)
        v = np.abs(y) - np.float32(half[1] - corner)
        outside = np.hypot(np.maximum(u, 0), np.maximum(v, 0))
        distance = outside + np.minimum(np.maximum(u, v), 0) - np.float32(corner)
        self._fill(window, distance, thickness, material)

    def wire(
        self, points: Points, radius: float, material: str, *, bore: float = 0.0, in_pixels: bool = False
    ) -> None:
        """A round wire, or a tube with a bore, through points; ``in_pixels``: these are image pixels.

        A wire thinner than a pixel is drawn a pixel wide with the attenuation of its true section.
        """
        course = np.asarray(points, np.float64) if in_pixels else self.to_image(points)
        true = radius * self.per_mm
        width = max(true, 0.6)
        distance, window = self._distance(course, width + 1.5)
        if distance.size == 0:
            return
        near = distance <= width + 1
        d = distance[near]
        mm = 1 / self.per_mm
        chord = 2 * np.sqrt(np.maximum(width**2 - d**2, 0)) * (true / width) ** 2
        if bore > 0:
            chord = chord - 2 * np.sqrt(np.maximum((bore * self.per_mm) ** 2 - d**2, 0))
        self.attenuation[window][near] += (np.maximum(chord, 0) * (mm * ATTENUATION[material])).astype(
            np.float32
        )
        self._mark(window, distance <= width)

    def _distance(self, course: np.ndarray, margin: float) -> tuple[FloatArray, Window]:
        """Distance to a polyline in image pixels, exact up to ``margin``, in a window around it."""
        window = self._window(course, margin)
        rows, columns = window
        shape = (max(rows.stop - rows.start, 0), max(columns.stop - columns.start, 0))
        if 0 in shape:
            return np.zeros((0, 0), np.float32), window
        if shape[0] * shape[1] * len(course) < SMALL:
            x, y = np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
            ends = course[:, None, None]
            return _to_segments(x[None, :], y[:, None], ends[:-1], ends[1:]).min(0), window
        distance = np.full(shape, np.float32(1e3))
        for a, b in pairwise(course):
            inner = self._window(np.stack([a, b]), margin)
            if inner[0].stop <= inner[0].start or inner[1].stop <= inner[1].start:
                continue
            x, y = np.arange(inner[1].start, inner[1].stop), np.arange(inner[0].start, inner[0].stop)
            there = _to_segments(x[None, :], y[:, None], a, b)
            view = distance[
                inner[0].start - rows.start : inner[0].stop - rows.start,
                inner[1].start - columns.start : inner[1].stop - columns.start,
            ]
            np.minimum(view, there, out=view)
        return distance, window


def _union(a: Window, b: Window) -> Window:
    """The smallest window around two."""
    rows, columns = (
        slice(min(first.start, two.start), max(first.stop, two.stop)) for first, two in zip(a, b, strict=True)
    )
    return rows, columns


def _to_segments(x: np.ndarray, y: np.ndarray, start: np.ndarray, end: np.ndarray) -> FloatArray:
    """Distances from pixels to segments whose ends are given along the last axis; all else broadcasts."""
    start, end = start.astype(np.float32), end.astype(np.float32)
    ax, ay, bx, by = start[..., 0], start[..., 1], end[..., 0], end[..., 1]
    dx, dy = bx - ax, by - ay
    x, y = x.astype(np.float32) - ax, y.astype(np.float32) - ay
    along = np.clip((x * dx + y * dy) / np.maximum(dx * dx + dy * dy, np.float32(1e-6)), 0, 1)
    u, v = x - along * dx, y - along * dy
    return np.asarray(np.sqrt(u * u + v * v))
