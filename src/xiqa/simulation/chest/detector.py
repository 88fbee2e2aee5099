"""From attenuation to an image: scatter, photons, blur, and the processing that makes it readable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from xiqa.simulation.chest.grid import smooth, strips, texture
from xiqa.types import FloatArray, MaskArray

__all__ = ["Exposure", "draw_exposure", "expose"]


# Side of the window that edges are enhanced against, pixels.
EDGE = 9


@dataclass(frozen=True, slots=True)
class Exposure:
    """How an image is taken and processed.

    Attributes:
        scatter: Scattered photons for a primary photon that interacts in the patient.
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
    """Draw one exposure; portable images have more scatter, fewer photons and no grid."""
    dark = rng.uniform(0.36, 0.62)
    return Exposure(
        scatter=float(rng.uniform(0.18, 0.4) if portable else rng.uniform(0.08, 0.2)),
        photons=float(np.exp(rng.uniform(np.log(2000), np.log(8000 if portable else 12000)))),
        blur=float(rng.uniform(0.5, 0.75)),
        detail=float(rng.uniform(0.95, 1.35)),
        edges=float(rng.uniform(0.2, 0.9)),
        dark=float(dark),
        bright=float(np.clip(dark + rng.uniform(0.16, 0.34), 0.68, 0.9)),
        toe=float(rng.uniform(0.0, 0.4)),
    )


def expose(
    attenuation: FloatArray,
    objects: FloatArray,
    lungs: MaskArray,
    solid: MaskArray,
    exposure: Exposure,
    spacing: float,
    rng: np.random.Generator,
) -> FloatArray:
    r"""An image of an attenuation map :math:`a = \int \mu\,dl`.

    .. math::
        I &= e^{-a} + r\,G * (a\,e^{-a}) \\
        J &= B * (I + \sqrt{I / N}\,n), \qquad n \sim \mathcal N(0, 1) \\
        p &= \operatorname{sigmoid}(k\,(L' - c)), \qquad L' = L + \text{detail of } L, \quad L = -\log J

    with ``G`` a broad Gaussian (scatter) and ``B`` the detector's blur. Gaussian noise stands for Poisson's:
    counts are in the hundreds or more. ``k`` and ``c`` put lungs and mediastinum at their wanted grey values,
    as a console's automatic window does.

    Args:
        attenuation: ``(H, W)`` of the patient, without unit.
        objects: ``(H, W)``, what objects add; they absorb and do not scatter.
        lungs: Pixels that set the dark end of the window.
        solid: Pixels that set the bright end.
        exposure: How to take and process the image.
        spacing: Millimetres a pixel.
        rng: Source of the photons.

    Returns:
        ``(H, W)`` grey values in [0, 1].
    """
    intensity, source = np.empty_like(attenuation), np.empty_like(attenuation)
    for rows in strips(len(intensity)):
        np.exp(-attenuation[rows] - objects[rows], out=intensity[rows])
        np.multiply(attenuation[rows], intensity[rows], out=source[rows])
    scattered = smooth(source, _tenth(32 / spacing))
    noise = texture(attenuation.shape, rng, 0.0)
    for rows in strips(len(intensity)):
        part = intensity[rows]
        part += np.float32(exposure.scatter) * scattered[rows]
        part += noise[rows] * np.sqrt(part * np.float32(0.1 / exposure.photons))
    log = gaussian_filter(intensity, exposure.blur, truncate=2.5, output=source)
    for rows in strips(len(log)):
        log[rows] = -np.log(np.maximum(log[rows], np.float32(1e-5)))
    base, fine = smooth(log, _tenth(14 / spacing)), uniform_filter(log, EDGE, output=intensity)
    low, high = _level(base, lungs, 0.3, 0.25), _level(base, solid, 0.8, 0.6)
    high = max(high, low + 0.3)
    ends = np.log([exposure.dark / (1 - exposure.dark), exposure.bright / (1 - exposure.bright)])
    slope = (ends[1] - ends[0]) / (high - low)
    for rows in strips(len(log)):
        # detail over the base, and edges over what is finer still
        part = np.float32(exposure.detail + exposure.edges) * log[rows]
        part -= np.float32(exposure.detail - 1) * base[rows] + np.float32(exposure.edges) * fine[rows]
        part = np.float32(slope) * (part - np.float32(low)) + np.float32(ends[0])
        part += np.float32(exposure.toe) * np.minimum(part + np.float32(1.2), 0)
        log[rows] = 1 / (1 + np.exp(-part))
    return np.asarray(log)


def _tenth(pixels: float) -> float:
    """Rounded, so that images of like scale share their smoothing matrices."""
    return round(pixels, 1)


def _level(values: FloatArray, where: MaskArray, quantile: float, fallback: float) -> float:
    """A quantile of some pixels, of all where there are none."""
    values, where = values[::4, ::4], where[::4, ::4]  # a sample is enough
    chosen = values[where]
    return float(np.quantile(chosen, quantile) if chosen.size else np.quantile(values, fallback))
