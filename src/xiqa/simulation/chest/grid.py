"""The plane of the detector: millimetres of the patient, pixels of the image, and ways to fill them.

Patient millimetres have their origin at the middle of the image: ``x`` to the patient's left (right in the
image), ``y`` downwards, ``z`` towards the back. Smooth anatomy is computed on a *work grid* of half the
image's resolution and enlarged once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from xiqa.types import FloatArray

__all__ = ["Grid", "enlarge", "smooth", "splat", "strips", "texture"]

# Above this size the anatomy is computed at half resolution.
HALVE_FROM = 320


@dataclass(frozen=True, slots=True)
class Grid:
    """An image of ``size`` pixels over a patient who is turned in the plane and not quite in the middle.

    Attributes:
        size: Rows and columns of the image.
        spacing: Millimetres a pixel of the image.
        tilt: Radians by which the patient leans.
        shift: Millimetres (x, y) from the image's middle to the patient's origin.
    """

    size: tuple[int, int]
    spacing: float
    tilt: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def factor(self) -> int:
        """Image pixels a work pixel, along each axis."""
        return 2 if min(self.size) >= HALVE_FROM else 1

    @property
    def work_size(self) -> tuple[int, int]:
        """Rows and columns of the work grid; it may reach a pixel over the image."""
        return -(-self.size[0] // self.factor), -(-self.size[1] // self.factor)

    @property
    def work_spacing(self) -> float:
        """Millimetres a pixel of the work grid."""
        return self.spacing * self.factor

    def patient_axes(self) -> tuple[FloatArray, FloatArray]:
        """Patient ``x`` and ``y`` of every work pixel, ``(h, w)`` each, in millimetres."""
        rows, columns = self.work_size
        offset = (self.factor - 1) / 2
        across = (np.arange(columns) * self.factor + offset - (self.size[1] - 1) / 2) * self.spacing
        down = (np.arange(rows) * self.factor + offset - (self.size[0] - 1) / 2) * self.spacing
        u = (across - self.shift[0]).astype(np.float32)[None, :]
        v = (down - self.shift[1]).astype(np.float32)[:, None]
        cos, sin = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        return cos * u + sin * v, cos * v - sin * u

    def to_image(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Image pixels (column, row) of patient millimetres."""
        cos, sin = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        column = (cos * x - sin * y + np.float32(self.shift[0])) / np.float32(self.spacing)
        row = (sin * x + cos * y + np.float32(self.shift[1])) / np.float32(self.spacing)
        return column + np.float32((self.size[1] - 1) / 2), row + np.float32((self.size[0] - 1) / 2)

    def deposit(self, x: FloatArray, y: FloatArray, volume: FloatArray) -> FloatArray:
        """Path lengths ``(h, w)`` in mm of matter given as points of so many cubic millimetres."""
        column, row = self.to_image(x, y)
        offset = np.float32((self.factor - 1) / 2)
        scale = np.float32(1 / self.factor)
        laid = splat(self.work_size, (column - offset) * scale, (row - offset) * scale, volume)
        return np.asarray(laid / np.float32(self.work_spacing**2))


def strips(rows: int, height: int = 50) -> Iterator[slice]:
    """Consecutive rows; pointwise work done strip by strip stays in the processor's cache."""
    for top in range(0, rows, height):
        yield slice(top, min(top + height, rows))


def splat(size: tuple[int, int], x: FloatArray, y: FloatArray, weight: FloatArray) -> FloatArray:
    """Lay weights down between the four pixels around each point; the sum is kept inside the image.

    >>> splat((2, 3), np.float32([0.5]), np.float32([0.0]), np.float32([2.0])).tolist()
    [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    rows, columns = size
    width = columns + 2  # a pixel of margin all round takes what falls half outside
    total = np.zeros((rows + 3) * width, np.float32)
    x, y, weight = x.ravel(), y.ravel(), weight.ravel()
    for part in strips(x.size, 16_384):
        u, v = x[part], y[part]
        inside = (u > -1) & (u < columns) & (v > -1) & (v < rows)
        u, v = np.where(inside, u, 0), np.where(inside, v, 0)
        left, top = np.floor(u), np.floor(v)
        corner = (top.astype(np.int32) + 1) * width + (left.astype(np.int32) + 1)
        whole = weight[part] * inside
        lower = whole * (v - top)
        upper = whole - lower
        lower_right, upper_right = lower * (u - left), upper * (u - left)
        np.add.at(total, corner, upper - upper_right)
        np.add.at(total, corner + 1, upper_right)
        np.add.at(total, corner + width, lower - lower_right)
        np.add.at(total, corner + width + 1, lower_right)
    return total[: (rows + 2) * width].reshape(rows + 2, width)[1:-1, 1:-1].copy()


@lru_cache(maxsize=64)
def _between(nodes: int, pixels: int, step: float, first: float) -> FloatArray:
    """Cubic (Catmull-Rom) interpolation, ``(pixels, nodes)``; node ``k`` lies at ``first + k step``."""
    place = (np.arange(pixels) - first) / step
    t = np.abs(place[:, None] - np.arange(nodes)[None, :])
    near, far = (1.5 * t - 2.5) * t * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
    weights = np.where(t < 1, near, np.where(t < 2, far, 0))
    matrix: FloatArray = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def enlarge(values: FloatArray, grid: Grid) -> FloatArray:
    """A work-grid array at the image's size, by cubic interpolation."""
    if grid.factor == 1:
        return values
    first = (grid.factor - 1) / 2
    down, across = (
        _between(nodes, pixels, grid.factor, first)
        for nodes, pixels in zip(values.shape, grid.size, strict=True)
    )
    return np.asarray(down @ values @ across.T, np.float32)


@lru_cache(maxsize=64)
def _means(nodes: int, pixels: int, step: float, first: float, sigma: float) -> FloatArray:
    """Gaussian means around nodes as a matrix ``(nodes, pixels)``; what is outside does not count."""
    away = (np.arange(pixels)[None, :] - first - step * np.arange(nodes)[:, None]) / sigma
    weights = np.exp(-0.5 * np.minimum(away * away, 40))
    matrix: FloatArray = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def smooth(values: FloatArray, sigma: float) -> FloatArray:
    """A Gaussian blur: exact at nodes that lie closer than ``sigma``, cubic between them.

    Two thin matrix products along each axis; much quicker than a filter when ``sigma`` is large.
    """
    step = max(0.7 * sigma, 1.0)
    inward, outward = [], []
    for pixels in values.shape:
        nodes = max(2, math.ceil(pixels / step) + 1)
        first = (pixels - 1 - (nodes - 1) * step) / 2
        inward.append(_means(nodes, pixels, step, first, sigma))
        outward.append(_between(nodes, pixels, step, first))
    coarse = inward[0] @ values @ inward[1].T
    return np.asarray(outward[0] @ coarse @ outward[1].T)


@lru_cache(maxsize=8)
def noise_bank(edge: int, slope: float, cutoff: float) -> FloatArray:
    r"""A square, periodic Gaussian field of unit variance, amplitude :math:`\propto f^{-s}\,e^{-(f/f_c)^2}`.

    Made once a process; an image takes a window of it at a random place.

    Args:
        edge: Pixels along each side.
        slope: ``s``, the steepness of the amplitude spectrum.
        cutoff: ``f_c`` in cycles a pixel.
    """
    rng = np.random.default_rng(20_000 + edge)
    spectrum = np.fft.rfft2(rng.standard_normal((edge, edge)))
    frequency = np.hypot(np.fft.fftfreq(edge)[:, None], np.fft.rfftfreq(edge)[None, :])
    spectrum *= np.maximum(frequency, 4 / edge) ** -slope * np.exp(-((frequency / cutoff) ** 2))
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (edge, edge))
    bank: FloatArray = (field / field.std()).astype(np.float32)
    bank.setflags(write=False)
    return bank


def texture(
    size: tuple[int, int], rng: np.random.Generator, slope: float, cutoff: float = math.inf
) -> FloatArray:
    """A window of a `noise_bank` at a random place, in one of eight poses."""
    edge = 256 * -(-(max(size) + 128) // 256)
    bank = noise_bank(edge, slope, cutoff)
    pose, top, left = rng.integers(8), rng.integers(edge - size[0] + 1), rng.integers(edge - size[1] + 1)
    bank = bank.T if pose & 1 else bank
    window = bank[top : top + size[0], left : left + size[1]]
    window = window[::-1] if pose & 2 else window
    return np.asarray(window[:, ::-1] if pose & 4 else window)
