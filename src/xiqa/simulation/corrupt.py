"""Global quality problems of a known degree, put into any image.

Local problems (a button, a lead) have a place; these do not: the whole image is blurred, too dark, turned.
Each is a function of the image, a degree in [0, 1] and a generator; degree 0 changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import affine_transform, convolve, gaussian_filter

from xiqa.errors import ConfigError

if TYPE_CHECKING:
    from xiqa.types import FloatArray, Image

    Corruption = Callable[[FloatArray, float, np.random.Generator], np.ndarray]

__all__ = ["CORRUPTIONS", "corrupt"]


def motion_blur(pixels: FloatArray, degree: float, rng: np.random.Generator) -> np.ndarray:
    """The patient moves along a line during the exposure: a line kernel of up to 5 % of the width."""
    length = degree * 0.05 * pixels.shape[1]
    if length < 0.5:
        return pixels
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(length / 2))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = columns * np.cos(angle) + rows * np.sin(angle)
    beside = columns * np.sin(angle) - rows * np.cos(angle)
    kernel = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(beside), 0, 1)
    return np.asarray(convolve(pixels, kernel / kernel.sum(), mode="nearest"))


def underexposure(pixels: FloatArray, degree: float, rng: np.random.Generator) -> np.ndarray:
    """Too few photons: the image is light and grainy, most where it is dense (bright)."""
    lighter = pixels ** (1 - 0.55 * degree)
    grain = rng.standard_normal(pixels.shape) * (0.12 * degree) * (0.3 + 0.7 * lighter)
    return np.asarray(lighter + gaussian_filter(grain, 0.6))


def overexposure(pixels: FloatArray, degree: float, rng: np.random.Generator) -> np.ndarray:
    """Too many photons: lungs and soft tissue saturate to black."""
    return np.asarray((pixels - 0.45 * degree) / (1 - 0.45 * degree) * (1 - 0.15 * degree))


def noise(pixels: FloatArray, degree: float, rng: np.random.Generator) -> np.ndarray:
    """White noise of up to 0.2 of the grey range."""
    return np.asarray(pixels + rng.normal(0, 0.2 * degree, pixels.shape))


def rotation(pixels: FloatArray, degree: float, rng: np.random.Generator) -> np.ndarray:
    """The image is turned by up to 35 degrees, either way; what was outside is black."""
    angle = np.deg2rad(35 * degree) * rng.choice([-1, 1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array(pixels.shape) - 1) / 2
    return np.asarray(affine_transform(pixels, turn, offset=middle - turn @ middle, order=1))


def clipped_anatomy(pixels: FloatArray, degree: float, rng: np.random.Generator) -> np.ndarray:
    """Collimation cuts one side off: up to 40 % of the width or height is black."""
    cut = pixels.copy()
    axis, side = rng.integers(2), rng.integers(2)
    width = round(0.4 * degree * pixels.shape[axis])
    index: list[slice] = [slice(None), slice(None)]
    index[axis] = slice(0, width) if side == 0 else slice(pixels.shape[axis] - width, None)
    cut[tuple(index)] = 0
    return cut


def low_contrast(pixels: FloatArray, degree: float, rng: np.random.Generator) -> np.ndarray:
    """Grey values shrink towards their mean, to 15 % of their range at most."""
    mean = pixels.mean()
    return np.asarray(mean + (pixels - mean) * (1 - 0.85 * degree))


CORRUPTIONS: dict[str, Corruption] = {
    function.__name__: function
    for function in (
        motion_blur,
        underexposure,
        overexposure,
        noise,
        rotation,
        clipped_anatomy,
        low_contrast,
    )
}


def corrupt(image: Image, problem: str, degree: float, seed: int = 0) -> Image:
    """The image with one global problem of a known degree.

    Args:
        image: Any grey image.
        problem: A name in `CORRUPTIONS`.
        degree: From 0 (unchanged) to 1 (useless).
        seed: Of direction and noise.

    Returns:
        A new image of the same size; a mask of valid pixels is kept as it is.

    Raises:
        ConfigError: If the problem is unknown, the degree out of range, or the image has colours.
    """
    if problem not in CORRUPTIONS:
        raise ConfigError("unknown problem", expected=f"one of {', '.join(CORRUPTIONS)}", got=problem)
    if not 0 <= degree <= 1:
        raise ConfigError("degree out of range", expected="0 to 1", got=f"{degree:g}")
    if image.pixels.ndim != 2:
        raise ConfigError("cannot corrupt", expected="a grey image", got="one with colour channels")
    if degree == 0:
        return image
    rng = np.random.default_rng([seed, list(CORRUPTIONS).index(problem)])
    pixels = np.clip(CORRUPTIONS[problem](image.pixels, degree, rng), 0, 1).astype(np.float32)
    note = f"simulated {problem} of degree {degree:g}"
    return replace(image, pixels=pixels, source=replace(image.source, notes=(*image.source.notes, note)))
