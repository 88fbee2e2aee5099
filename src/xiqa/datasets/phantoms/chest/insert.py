"""Foreign objects put into a film that exists: by attenuation, in the film's own contrast, blur and noise."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
from scipy.ndimage import binary_fill_holes, gaussian_filter, label, zoom

from xiqa.datasets.phantoms.chest.detector import smooth
from xiqa.datasets.phantoms.chest.landmarks import Landmarks, landmarks_of
from xiqa.datasets.phantoms.chest.placing import place_objects
from xiqa.datasets.phantoms.chest.scenario import Scenario
from xiqa.datasets.phantoms.phantom import Phantom
from xiqa.errors import ConfigError
from xiqa.types import FloatArray, Image, MaskArray

__all__ = ["find_chest", "insert_objects"]

# A film without a pixel spacing shows about this many millimetres along its shorter side.
FIELD = 380.0


def _lung_fields(pixels: FloatArray) -> MaskArray | None:
    """Dark regions in the film's middle that are not the dark outside; None when they make no chest."""
    coarse = np.asarray(zoom(pixels, 64 / np.array(pixels.shape), order=1))
    soft = gaussian_filter(coarse, 1.2)
    inner = soft[8:52, 8:56]
    threshold = float(np.quantile(inner, 0.06) + 0.55 * (np.quantile(inner, 0.9) - np.quantile(inner, 0.06)))
    regions, count = label(soft < threshold)
    edge = np.unique(np.concatenate([regions[0], regions[:, 0], regions[:, -1]]))
    lungs = np.zeros((64, 64), bool)
    sizes = [(int((regions == k).sum()), k) for k in range(1, count + 1) if k not in edge]
    for area, k in sorted(sizes, reverse=True)[:2]:
        if area >= 90:
            lungs |= regions == k
    left, right = lungs[:, :32].sum(), lungs[:, 32:].sum()
    if min(left, right) < 90 or max(left, right) > 1100 or max(left, right) > 3.2 * min(left, right):
        return None
    return np.asarray(binary_fill_holes(lungs))


def _usual_lungs() -> MaskArray:
    """Where the lungs lie on an average upright film, 64 x 64."""
    y, x = np.mgrid[0:64, 0:64] / 63.0
    lungs = np.zeros((64, 64), bool)
    for middle in (0.31, 0.69):
        wide = np.where(y < 0.62, 0.155, 0.155 + 0.05 * (y - 0.62))
        lungs |= (np.abs((x - middle) / wide) ** 2.5 + np.abs((y - 0.45) / 0.31) ** 2.5) < 1
    return lungs


def find_chest(image: Image) -> Landmarks:
    """Estimate where the chest lies on a frontal film: by its dark lungs, else as on an average film.

    Args:
        image: A grey frontal film, upright, bright bones.

    Returns:
        Its landmarks; coarse, to a few per cent of the width.
    """
    lungs = _lung_fields(image.pixels)
    if lungs is None:
        lungs = _usual_lungs()
    # what lies between a row's outermost lung pixels is chest
    ahead, behind = np.maximum.accumulate(lungs, 1), np.maximum.accumulate(lungs[:, ::-1], 1)[:, ::-1]
    chest = ahead & behind
    rows, columns = image.size
    index = np.ix_(np.arange(rows) * 64 // rows, np.arange(columns) * 64 // columns)
    body = smooth(image.pixels, 0.01 * min(image.size)) > 0.08
    spacing = image.spacing[0] if image.spacing else FIELD / min(image.size)
    return landmarks_of(chest[index], lungs[index], body, spacing)


def _blur_of(pixels: FloatArray) -> float:
    """The blur of a film in pixels, from how far neighbouring differences keep up with wider ones."""
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
    r"""Put simulated objects into a film.

    The film's grey value is read as a sigmoid of exposure's logarithm, so that attenuation adds there:

    .. math::
        p' = \operatorname{sigmoid}(\operatorname{logit} p + k\,D), \qquad
        D = -\log\bigl((1 - f)\,e^{-a} + f\bigr)

    with :math:`a` the objects' attenuation, ``f`` the scattered part of the local exposure (more behind the
    bright mediastinum than behind the lungs), and ``k`` the film's contrast, from its own grey range.
    ``D`` gets the film's blur, a part of its edge enhancement, and the noise of the photons that are missing.

    Args:
        image: A grey film without objects over the chest.
        seed: Decides everything that is not given.
        objects: What to put in; None for what a ward sends, but at least one over the chest.
        marks: Where the chest is; None to estimate it.

    Returns:
        The film with the objects; label 1 when a removable one lies over the chest. ``lung_mask`` is the
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
    film = image.pixels
    sigma = _blur_of(film)
    low, high = np.quantile(film[marks.chest], (0.1, 0.9)) if marks.chest.any() else (0.3, 0.8)
    contrast = float(np.clip((high - low) / 0.24 * rng.uniform(0.75, 1.25), 0.9, 3.2))
    scattered = np.float32(0.15) + np.float32(0.55) * smooth(film, 0.03 * min(image.size))
    shadow = -np.log((1 - scattered) * np.exp(-placed.attenuation) + scattered)
    shadow = gaussian_filter(shadow, sigma)
    shadow += np.float32(rng.uniform(0, 0.35)) * (shadow - gaussian_filter(shadow, 3.0))
    grain = gaussian_filter(rng.standard_normal(film.shape, dtype=np.float32), sigma)
    shadow += np.float32(rng.uniform(0.0, 0.05)) * np.clip(shadow, 0, 1) * grain
    clipped = np.clip(film, 1e-3, 1 - 1e-3)
    inside = np.log(clipped / (1 - clipped)) + np.float32(contrast) * shadow
    pixels = np.where(np.abs(shadow) > 1e-4, 1 / (1 + np.exp(-inside)), film).astype(np.float32)
    note = f"simulated objects inserted, seed {seed}"
    result = replace(image, pixels=pixels, source=replace(image.source, notes=(*image.source.notes, note)))
    parameters = {"seed": seed, "scenario": asdict(scenario), "contrast": contrast, "blur": sigma}
    return Phantom(result, placed.label, placed.annotations, marks.lungs, parameters)
