"""From attenuation to a film: scatter, photons, blur, and the processing that makes it readable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter

from xiqa.types import FloatArray, MaskArray

__all__ = ["Exposure", "draw_exposure", "expose", "smooth"]


@dataclass(frozen=True, slots=True)
class Exposure:
    """How a film is taken and processed.

    Attributes:
        scatter: Scattered over primary photons, on the average over the film.
        photons: Photons a pixel behind one unit of transmission 0.1.
        blur: Standard deviation of the detector's blur, pixels.
        detail: Gain of what is finer than a few centimetres over what is broader.
        edges: Extra gain of what is finer than a few millimetres.
        dark: Grey value of the lungs, 0 to 1.
        bright: Grey value of the mediastinum.
        toe: Bend of the curve in the dark: above 0 the black is deeper.
    """

    scatter: float
    photons: float
    blur: float
    detail: float
    edges: float
    dark: float
    bright: float
    toe: float


def draw_exposure(rng: np.random.Generator, portable: bool) -> Exposure:
    """Draw one exposure; portable films have more scatter, fewer photons and no grid."""
    dark = rng.uniform(0.24, 0.52)
    return Exposure(
        scatter=float(rng.uniform(0.7, 1.3) if portable else rng.uniform(0.3, 0.7)),
        photons=float(np.exp(rng.uniform(np.log(700), np.log(6000 if portable else 12000)))),
        blur=float(rng.uniform(0.55, 0.95)),
        detail=float(rng.uniform(1.0, 1.7)),
        edges=float(rng.uniform(0.0, 0.6)),
        dark=float(dark),
        bright=float(np.clip(dark + rng.uniform(0.3, 0.5), 0.7, 0.92)),
        toe=float(rng.uniform(0.0, 0.4)),
    )


def smooth(values: FloatArray, sigma: float) -> FloatArray:
    """A broad Gaussian blur, computed on a coarser grid where that is fine enough."""
    factor = int(np.clip(sigma / 3, 1, min(values.shape) // 8 or 1))
    if factor == 1:
        return np.asarray(gaussian_filter(values, sigma, mode="nearest"), np.float32)
    coarse = np.asarray(Pillow.fromarray(values).reduce(factor))
    coarse = gaussian_filter(coarse, sigma / factor, mode="nearest")
    rows, columns = values.shape
    # the coarse grid may reach over the image's edge; enlarge its exact extent
    box = (0, 0, columns / factor, rows / factor)
    return np.asarray(Pillow.fromarray(coarse).resize((columns, rows), Pillow.Resampling.BICUBIC, box=box))


def expose(
    attenuation: FloatArray,
    objects: FloatArray,
    lungs: MaskArray,
    solid: MaskArray,
    exposure: Exposure,
    spacing: float,
    rng: np.random.Generator,
) -> FloatArray:
    r"""A film of an attenuation map :math:`a = \int \mu\,dl`.

    .. math::
        I &= e^{-a} + S, \qquad S = r\,\frac{\overline{e^{-a}}}{\overline{G * e^{-a}}}\,(G * e^{-a}) \\
        J &= B * (I + \sqrt{I / N}\,n), \qquad n \sim \mathcal N(0, 1) \\
        p &= \operatorname{sigmoid}(k\,(L' - c)), \qquad L' = L + \text{detail of } L, \quad L = -\log J

    with ``G`` a broad Gaussian (scatter) and ``B`` the detector's blur. Gaussian noise stands for Poisson's:
    counts are in the hundreds or more. ``k`` and ``c`` put lungs and mediastinum at their wanted grey values,
    as a console's automatic window does.

    Args:
        attenuation: ``(H, W)`` of the patient, without unit.
        objects: ``(H, W)``, what objects add; the console's window does not look at them.
        lungs: Pixels that set the dark end of the window.
        solid: Pixels that set the bright end.
        exposure: How to take and process the film.
        spacing: Millimetres a pixel.
        rng: Source of the photons.

    Returns:
        ``(H, W)`` grey values in [0, 1].
    """
    primary = np.exp(-(attenuation + objects))
    broad = smooth(primary, 32 / spacing)
    intensity = primary + np.float32(0.6 * exposure.scatter) * (broad + np.float32(0.25) * broad.mean())
    noise = rng.standard_normal(attenuation.shape, dtype=np.float32)
    noise *= np.sqrt(intensity * np.float32(0.1 / exposure.photons))
    intensity += noise
    intensity = gaussian_filter(intensity, exposure.blur, truncate=3)
    log = -np.log(np.maximum(intensity, np.float32(1e-5)))
    base = smooth(log, 14 / spacing)
    fine = smooth(log, 1.8 / spacing)
    log += np.float32(exposure.detail - 1) * (log - base) + np.float32(exposure.edges) * (log - fine)
    low, high = _level(base, lungs, 0.3, 0.25), _level(base, solid, 0.75, 0.6)
    high = max(high, low + 0.3)
    ends = np.log([exposure.dark / (1 - exposure.dark), exposure.bright / (1 - exposure.bright)])
    slope = (ends[1] - ends[0]) / (high - low)
    bent = np.float32(slope) * (log - np.float32(low)) + np.float32(ends[0])
    bent += np.float32(exposure.toe) * np.minimum(bent + 1.2, 0)
    return np.asarray(1 / (1 + np.exp(-bent)), np.float32)


def _level(values: FloatArray, where: MaskArray, quantile: float, fallback: float) -> float:
    """A quantile of some pixels, of all where there are none."""
    chosen = values[where]
    return float(np.quantile(chosen, quantile) if chosen.size else np.quantile(values, fallback))
