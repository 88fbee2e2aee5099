"""Foreign objects put into an image that exists: by attenuation, in its own contrast, blur and noise."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from xiqa.errors import ConfigError
from xiqa.simulation.chest.find import find_chest
from xiqa.simulation.chest.grid import smooth, texture
from xiqa.simulation.chest.landmarks import Landmarks
from xiqa.simulation.chest.placing import place_objects
from xiqa.simulation.chest.scenario import Scenario
from xiqa.simulation.phantom import Phantom
from xiqa.types import FloatArray, Image

__all__ = ["insert_objects"]


def _blur_of(pixels: FloatArray) -> float:
    """The blur of an image in pixels, from how far neighbouring differences keep up with wider ones."""
    near = float(np.abs(np.diff(pixels, axis=1)).mean())
    wide = float(np.abs(pixels[:, 2:] - pixels[:, :-2]).mean())
    ratio = near / max(wide, 1e-6)  # 1/2 for a ramp (very blurred), 1 for white noise (sharp)
    return float(np.clip(0.5 + 1.6 * (0.75 - ratio), 0.45, 1.1))


def insert_objects(
    image: Image,
    seed: int,
    *,
    objects: Scenario | None = None,
    marks: Landmarks | None = None,
) -> Phantom:
    r"""Put simulated objects into an image.

    The image's grey value is read as a sigmoid of exposure's logarithm, so that attenuation adds there:

    .. math::
        p' = \operatorname{sigmoid}(\operatorname{logit} p + k\,D), \qquad
        D = -\log\bigl((1 - f)\,e^{-a} + f\bigr)

    with :math:`a` the objects' attenuation, ``f`` the scattered part of the local exposure (more behind the
    bright mediastinum than behind the lungs), and ``k`` the image's contrast, from its own grey range.
    ``D`` gets the image's blur, a part of its edge enhancement, and the noise of the photons that are
    missing.

    Args:
        image: A grey image without objects over the chest.
        seed: Decides everything that is not given.
        objects: What to put in; None for what a ward sends, but at least one over the chest.
        marks: Where the chest is; None to estimate it.

    Returns:
        The image with the objects; label 1 when a removable one lies over the chest. ``lung_mask`` is the
        estimated one.

    Raises:
        ConfigError: If the image has colours, or the scenario cannot be met.
    """
    if image.pixels.ndim != 2:
        raise ConfigError("cannot insert objects", expected="a grey image", got="one with colour channels")
    rng = np.random.default_rng([seed, 77])
    scenario = objects or Scenario(count=("one", "same", "different")[rng.integers(3)], implant=False)
    marks = marks or find_chest(image)
    placed = place_objects(scenario, marks, rng)
    radiograph = image.pixels
    sigma = _blur_of(radiograph)
    low, high = np.quantile(radiograph[marks.chest], (0.1, 0.9)) if marks.chest.any() else (0.3, 0.8)
    contrast = float(np.clip((high - low) / 0.24 * rng.uniform(0.75, 1.25), 0.9, 3.2))
    scattered = np.float32(0.15) + np.float32(0.55) * smooth(radiograph, 0.03 * min(image.size))
    shadow = -np.log((1 - scattered) * np.exp(-placed.attenuation) + scattered)
    shadow = gaussian_filter(shadow, sigma)
    shadow += np.float32(rng.uniform(0, 0.35)) * (shadow - uniform_filter(shadow, 9))
    grain = texture(radiograph.shape, rng, 0.0, 0.35)
    shadow += np.float32(rng.uniform(0.0, 0.05)) * np.clip(shadow, 0, 1) * grain
    clipped = np.clip(radiograph, 1e-3, 1 - 1e-3)
    inside = np.log(clipped / (1 - clipped)) + np.float32(contrast) * shadow
    pixels = np.where(np.abs(shadow) > 1e-4, 1 / (1 + np.exp(-inside)), radiograph).astype(np.float32)
    note = f"simulated objects inserted, seed {seed}"
    result = replace(image, pixels=pixels, source=replace(image.source, notes=(*image.source.notes, note)))
    parameters = {"seed": seed, "scenario": asdict(scenario), "contrast": contrast, "blur": sigma}
    return Phantom(result, placed.label, placed.annotations, marks.lungs, parameters)
