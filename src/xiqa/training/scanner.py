"""What differs between two scanners' pictures of the same chest, drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from collections.abc import Callable

    from xiqa.types import FloatArray

__all__ = ["change_scanner"]

Rng = np.random.Generator
CLAHE_CELLS = 8


def change_scanner(pixels: FloatArray, rng: Rng, strength: float = 1.0) -> FloatArray:
    """One picture as another device, console and archive might have given it.

    Each step of the way from the detector to the archive is taken with a probability of its own: resolution,
    noise, edge enhancement, local equalisation, the tone curve, the window, few bits, collimation.

    Args:
        pixels: ``(H, W)`` grey values in [0, 1].
        rng: Source of every choice.
        strength: Factor on the probability of each step, from 0 (nothing changes) to 1.

    Returns:
        The changed grey values in [0, 1].
    """
    for probability, step in STEPS:
        if rng.random() < strength * probability:
            pixels = np.clip(step(pixels, rng), 0, 1)
    return np.asarray(pixels, dtype=np.float32)


def _resolution(pixels: FloatArray, rng: Rng) -> FloatArray:
    """Fewer detector elements, enlarged again."""
    factor = rng.uniform(0.35, 0.85)
    size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
    small = Pillow.fromarray(pixels).resize(size, Pillow.Resampling.BOX)
    return np.asarray(small.resize(pixels.shape[::-1], Pillow.Resampling.BICUBIC), dtype=np.float32)


def _noise(pixels: FloatArray, rng: Rng) -> FloatArray:
    """Grain, stronger where the picture is bright (few photons) or even, sharp or blurred by the reader."""
    grain = rng.standard_normal(pixels.shape, dtype=np.float32)
    if rng.random() < 0.5:
        grain = gaussian_filter(grain, rng.uniform(0.5, 1.0), truncate=2.5)
        grain /= grain.std()
    weight = np.sqrt(pixels + np.float32(0.1)) if rng.random() < 0.6 else np.float32(1)
    return np.asarray(pixels + np.float32(rng.uniform(0.005, 0.05)) * weight * grain, dtype=np.float32)


def _enhancement(pixels: FloatArray, rng: Rng) -> FloatArray:
    """Unsharp masking with a narrow or a wide kernel, spread over the grey range again."""
    sigma = float(np.exp(rng.uniform(np.log(0.8), np.log(24.0))))
    gain = np.float32(rng.uniform(0.3, 2.5 if sigma > 2 else 1.5))
    sharp = pixels + gain * (pixels - _blurred(pixels, sigma))
    low, high = np.quantile(sharp[::4, ::4], (0.005, 0.995))
    mix = np.float32(rng.uniform(0.3, 1.0))
    spread = (sharp - low) / max(float(high - low), 1e-3)
    return np.asarray(mix * spread + (1 - mix) * sharp, dtype=np.float32)


def _blurred(pixels: FloatArray, sigma: float) -> FloatArray:
    """A Gaussian blur; wide ones on a smaller grid."""
    factor = max(1, int(sigma // 2))
    if factor == 1:
        return np.asarray(gaussian_filter(pixels, sigma, truncate=3), dtype=np.float32)
    size = (max(1, pixels.shape[1] // factor), max(1, pixels.shape[0] // factor))
    small = np.asarray(Pillow.fromarray(pixels).resize(size, Pillow.Resampling.BOX), dtype=np.float32)
    small = gaussian_filter(small, sigma / factor, truncate=3)
    wide = Pillow.fromarray(small).resize(pixels.shape[::-1], Pillow.Resampling.BILINEAR)
    return np.asarray(wide, dtype=np.float32)


def _equalisation(pixels: FloatArray, rng: Rng) -> FloatArray:
    """Contrast-limited adaptive histogram equalisation."""
    from skimage.exposure import equalize_adapthist  # noqa: PLC0415 - slow to import

    kernel = tuple(max(2, side // int(rng.integers(3, CLAHE_CELLS + 1))) for side in pixels.shape)
    limit = float(np.exp(rng.uniform(np.log(0.003), np.log(0.03))))
    even = equalize_adapthist(np.clip(pixels, 0, 1), kernel_size=kernel, clip_limit=limit, nbins=128)
    return np.asarray(even, dtype=np.float32)


def _tone(pixels: FloatArray, rng: Rng) -> FloatArray:
    """A monotone curve through a few random knots: a film's or a console's characteristic."""
    knots = np.cumsum(rng.dirichlet(np.full(5, 2.5)))
    outputs = np.concatenate(([0.0], knots))
    places = np.linspace(0, 1, 256)
    curve = np.interp(places, np.linspace(0, 1, 6), outputs)
    curve = gaussian_filter(curve, 12, mode="nearest")
    return np.asarray(np.interp(pixels, places, curve), dtype=np.float32)


def _window(pixels: FloatArray, rng: Rng) -> FloatArray:
    """A narrower window, which saturates at either end, or a wider one, which leaves the picture flat."""
    if rng.random() < 0.5:
        low, high = np.quantile(pixels[::4, ::4], (rng.uniform(0, 0.08), rng.uniform(0.85, 1.0)))
        return np.asarray((pixels - low) / max(float(high - low), 0.2), dtype=np.float32)
    low, high = rng.uniform(0, 0.35), rng.uniform(0.55, 1.0)
    return np.asarray(low + (high - low) * pixels, dtype=np.float32)


def _bits(pixels: FloatArray, rng: Rng) -> FloatArray:
    """Few grey levels."""
    levels = np.float32(2 ** rng.uniform(4, 7) - 1)
    return np.asarray(np.round(pixels * levels) / levels, dtype=np.float32)


def _collimation(pixels: FloatArray, rng: Rng) -> FloatArray:
    """A shutter, a plate's edge or a page's margin: a frame of one grey, leaning a little."""
    rows, columns = (np.linspace(0, 1, side, dtype=np.float32) for side in pixels.shape)
    lean = rng.normal(0, 0.02, 4).astype(np.float32)
    edge = rng.uniform(-0.06, 0.07, 4).astype(np.float32)
    y, x = rows[:, None], columns[None, :]
    outside = (x < edge[0] + lean[0] * y) | (1 - x < edge[1] + lean[1] * y)
    outside |= (y < edge[2] + lean[2] * x) | (1 - y < edge[3] + lean[3] * x)
    grey = np.float32(rng.choice([0.0, 0.0, 1.0, rng.uniform(0, 1)]))
    return np.where(outside, grey, pixels)


STEPS: tuple[tuple[float, Callable[[FloatArray, Rng], FloatArray]], ...] = (
    (0.25, _resolution),
    (0.35, _noise),
    (0.40, _enhancement),
    (0.10, _equalisation),
    (0.40, _tone),
    (0.30, _window),
    (0.10, _bits),
    (0.30, _collimation),
)
"""Steps from the detector to the archive, each with its probability."""
