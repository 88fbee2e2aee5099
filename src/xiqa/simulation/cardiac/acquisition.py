"""What a scanner makes of a slice: coil shading, a bounded k-space, Rician noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["acquire", "coil_shading", "limit_resolution"]

Array = NDArray[np.float64]


def coil_shading(size: tuple[int, int], rng: np.random.Generator, strength: float = 0.5) -> Array:
    r"""A smooth positive field: a surface coil's fall-off times a low-order bias field.

    :math:`b = \exp(s\,[c_1 u + c_2 v + c_3 u v + c_4 u^2 + c_5 v^2])` with :math:`u, v \in [-1, 1]`;
    normalised to a mean of 1.

    Args:
        size: Rows and columns.
        rng: Source of the coefficients.
        strength: Factor ``s``; 0 gives a flat field.

    Returns:
        ``(H, W)`` factors.
    """
    v, u = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]), indexing="ij")
    c = rng.normal(0, [0.5, 0.5, 0.25, 0.3, 0.3])
    field = np.exp(strength * (c[0] * u + c[1] * v + c[2] * u * v - abs(c[3]) * u**2 - abs(c[4]) * v**2))
    return np.asarray(field / field.mean())


def limit_resolution(slice_: Array, fraction: tuple[float, float]) -> Array:
    """Keep only the central part of k-space, as a shorter acquisition does: blur and Gibbs ringing.

    Args:
        slice_: ``(H, W)`` real image.
        fraction: Kept part of k-space in rows and columns, in (0, 1].

    Returns:
        ``(H, W)`` complex image.
    """
    spectrum = np.fft.fft2(slice_)
    for axis, part in enumerate(fraction):
        frequency = np.abs(np.fft.fftfreq(slice_.shape[axis])) * 2 / part
        window = np.where(frequency <= 1, 0.5 + 0.5 * np.cos(np.pi * np.clip(2 * frequency - 1, 0, 1)), 0)
        spectrum = spectrum * (window[:, None] if axis == 0 else window[None, :])
    return np.asarray(np.fft.ifft2(spectrum))


def acquire(
    slice_: Array,
    rng: np.random.Generator,
    *,
    noise: float,
    shading: float,
    fraction: tuple[float, float],
    channels: np.random.Generator | None = None,
) -> Array:
    r"""Magnitude image of a slice: :math:`m = |F(b\,s) + n_1 + i n_2|` with Gaussian :math:`n_{1,2}`.

    The magnitude of a signal with independent Gaussian noise in both channels follows the Rice
    distribution (Gudbjartsson and Patz, 1995).

    Args:
        slice_: ``(H, W)`` signal, blood near 1.
        rng: Source of noise and shading.
        noise: Standard deviation of each channel.
        shading: Strength of the coil's field; see `coil_shading`.
        fraction: Kept part of k-space; see `limit_resolution`.
        channels: Source of the noise alone, for frames that share their shading; None: ``rng``.

    Returns:
        ``(H, W)`` non-negative.
    """
    shaded = limit_resolution(slice_ * coil_shading(slice_.shape, rng, shading), fraction)
    real, imaginary = (channels or rng).normal(0, noise, (2, *slice_.shape))
    return np.asarray(np.abs(shaded + real + 1j * imaginary))
