"""Chest radiographs with and without foreign objects, projected through parametrised anatomy."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from scipy.ndimage import uniform_filter

from xiqa.errors import ConfigError
from xiqa.simulation.chest.body import Body, draw_body
from xiqa.simulation.chest.bones import BONE_OVER_WATER, bone_paths
from xiqa.simulation.chest.detector import Exposure, draw_exposure, expose
from xiqa.simulation.chest.grid import Grid, enlarge
from xiqa.simulation.chest.landmarks import landmarks_of
from xiqa.simulation.chest.markers import draw_marker
from xiqa.simulation.chest.placing import annotate, place_objects
from xiqa.simulation.chest.scenario import Scenario
from xiqa.simulation.chest.shutter import draw_shutter
from xiqa.simulation.chest.soft import soft_parts
from xiqa.simulation.chest.vessels import vessel_paths
from xiqa.simulation.phantom import Phantom
from xiqa.types import Image, MaskArray, Source

__all__ = ["simulate_chest"]

# Attenuation of water at about 70 keV, 1/mm (NIST XCOM).
WATER = 0.0193
SMALLEST = 48
# Every aspect has its own stream of random numbers: another scenario shows the same patient.
PATIENT, GEOMETRY, ANATOMY, EXPOSURE, PHOTONS, MARKER, OBJECT = range(7)


def simulate_chest(
    seed: int,
    *,
    size: tuple[int, int] = (600, 600),
    objects: Scenario | None = None,
    body: Body | None = None,
    exposure: Exposure | None = None,
    marker: bool | None = None,
) -> Phantom:
    r"""Simulate one frontal chest radiograph by Beer and Lambert's law, :math:`I = I_0 e^{-\int \mu\,dl}`.

    Path lengths through soft tissue, lung, blood and bone, and through the objects, are added up; scatter,
    photon noise, blur and the console's processing make an image of them (see `expose`).

    Args:
        seed: Decides everything that is not given. The same seed with another scenario shows the same
            patient, exposure and marker.
        size: Rows and columns; the shorter side shows about 36 cm.
        objects: What lies on the patient; None for what a ward sends.
        body: The patient; None to draw one.
        exposure: How the image is taken; None to draw it.
        marker: Whether there is a burned-in side marker; None by chance (mostly).

    Returns:
        The image; label 1 when a removable object lies over the chest.

    Raises:
        ConfigError: If the size is below 48 pixels or the scenario cannot be met.

    >>> phantom = simulate_chest(1, size=(96, 96), objects=Scenario(count="one", place="lung"))
    >>> phantom.image.size, phantom.label
    ((96, 96), 1)
    """
    if min(size) < SMALLEST:
        raise ConfigError("image too small", expected=f"at least {SMALLEST} pixels a side", got=str(size))
    scenario = objects or Scenario()
    streams = [np.random.default_rng([seed, stream]) for stream in range(7)]
    body = body or draw_body(streams[PATIENT])
    exposure = exposure or draw_exposure(streams[EXPOSURE], body.portable)
    geometry = streams[GEOMETRY]
    grid = Grid(
        size,
        spacing=float(geometry.uniform(330, 395)) * body.scale**0.5 / min(size),
        tilt=float(geometry.normal(0, 0.035 if body.portable else 0.012)),
        shift=(float(geometry.normal(0, 9)), float(geometry.normal(-4, 10))),
    )
    anatomy = streams[ANATOMY]
    x, y = grid.patient_axes()
    soft = soft_parts(body, x, y, anatomy)
    blood = vessel_paths(body, grid, anatomy) * np.clip(soft.lung / np.float32(60 * body.scale), 0, 1)
    bone = bone_paths(body, grid, anatomy)
    fine = np.float32(WATER) * blood + np.float32(BONE_OVER_WATER) * bone
    fine += np.float32(0.9) * (
        fine - uniform_filter(fine, 3)
    )  # gives back what laying down points has blurred
    attenuation = enlarge(np.float32(WATER) * soft.water + fine, grid)

    chest, lungs, middle, patient = (
        _full(mask, grid) for mask in (soft.chest, soft.lungs, soft.middle, soft.body)
    )
    letters = None
    chance = streams[MARKER].random() < 0.9
    if marker or (marker is None and (chance or scenario.place == "marker")):
        letters = draw_marker(size, body.portable, streams[MARKER])
    marks = landmarks_of(chest, lungs, patient, grid.spacing)
    placed = place_objects(scenario, marks, streams[OBJECT], letters.place if letters else None)
    pixels = expose(attenuation, placed.attenuation, lungs, middle, exposure, grid.spacing, streams[PHOTONS])

    annotations = placed.annotations
    valid: MaskArray | None = None
    opening, shut = draw_shutter(size, streams[MARKER])
    if opening is not None:
        pixels = pixels * opening + np.float32(shut) * (1 - opening)
        valid = opening > 0.5
    if letters:
        pixels = np.maximum(pixels, np.float32(0.98) * letters.ink)
        annotations = (*annotations, *annotate(letters.parts, marks, removable=False))
    image = Image(
        pixels=np.ascontiguousarray(pixels, np.float32),
        bits=12,
        spacing=(grid.spacing, grid.spacing),
        mask=valid,
        modality="DX",
        source=Source(format="array", notes=(f"simulated chest radiograph, seed {seed}",)),
    )
    parameters = {
        "seed": seed,
        "scenario": asdict(scenario),
        "body": asdict(body),
        "exposure": asdict(exposure),
        "grid": asdict(grid),
    }
    return Phantom(image, placed.label, annotations, lungs, parameters)


def _full(mask: MaskArray, grid: Grid) -> MaskArray:
    """A work-grid mask at the image's size."""
    full = mask.repeat(grid.factor, 1).repeat(grid.factor, 0)
    return full[: grid.size[0], : grid.size[1]]
