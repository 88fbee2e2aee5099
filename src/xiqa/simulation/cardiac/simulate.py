"""4-chamber cine slices with and without the left ventricular outflow tract."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from xiqa.errors import ConfigError
from xiqa.geometry import Box
from xiqa.simulation.cardiac.acquisition import acquire
from xiqa.simulation.cardiac.anatomy import APEX, Heart, heart_layers, plane_points
from xiqa.simulation.cardiac.thorax import Painter, paint_thorax
from xiqa.simulation.phantom import Phantom
from xiqa.types import Annotation, Image, Source

__all__ = ["simulate_cardiac"]

# The tract counts as visible from this area on, mm^2: less is a partial-volume smear.
VISIBLE_AREA = 60.0
# Field of view along the longer side, mm; how far its middle may lie from the heart, as a part of it; and how
# far its rows may be turned against the patient's, degrees.
FIELD, OFF_CENTRE, TURN = (260.0, 380.0), 0.25, 30.0
WITHOUT, WITH = (-6.0, 2.0), (10.0, 16.0)


def simulate_cardiac(
    seed: int,
    *,
    outflow: bool | None = None,
    tilt: float | None = None,
    phase: float | None = None,
    size: tuple[int, int] = (224, 224),
    noise: float | None = None,
    shading: float | None = None,
) -> Phantom:
    """One slice of a long-axis cine in the 4-chamber or, tilted, in the five-chamber view.

    A heart of ellipsoids and tubes is cut by a plane. Tilting the plane forwards about the apex makes it
    run through the outflow tract, which is the quality problem. Patient, position and scanner vary with
    the seed; ``phase`` moves the same heart in the same chest through its beat, under noise of its own.
    Brightness, shading, field of view and the place of the heart in it are drawn alike with and without the
    tract, so that neither the mean nor the centre of the image tells the label or the place.

    Args:
        seed: Patient and acquisition.
        outflow: Whether the tract shows; drawn from the seed when None. Ignored when ``tilt`` is given.
        tilt: Tilt of the plane in degrees; 0 is the 4-chamber view.
        phase: Part of the heart cycle in [0, 1), 0 at the R wave; drawn from the seed when None.
        size: Rows and columns.
        noise: Standard deviation of each receiver channel, blood near 1; drawn from 0.015 to 0.05.
        shading: Strength of the coil's field; drawn from 0.3 to 0.9.

    Returns:
        A `Phantom`; its label is 1 when at least 60 mm² of the tract show, with mask and tightest box.

    Raises:
        ConfigError: If the size is under 32 pixels or the tilt is beyond 25 degrees.

    >>> simulate_cardiac(3, outflow=True, size=(64, 64)).label
    1
    """
    if min(size) < 32:
        raise ConfigError("image too small", expected="at least 32 x 32 pixels", got=f"{size[0]} x {size[1]}")
    if tilt is not None and abs(tilt) > 25:
        raise ConfigError("tilt out of range", expected="-25 to 25 degrees", got=f"{tilt:g}")
    patient, scanner = (np.random.default_rng([seed, part]) for part in (0, 1))
    chosen = patient.random() < 0.5 if outflow is None else outflow
    drawn_tilt = patient.uniform(*(WITH if chosen else WITHOUT))
    tilt = drawn_tilt if tilt is None else tilt
    drawn_phase = patient.random()
    phase = drawn_phase if phase is None else phase
    spacing = patient.uniform(*FIELD) / max(size)
    heart = Heart(
        scale=patient.uniform(0.85, 1.15),
        wall=patient.uniform(8, 13),
        ejection=patient.uniform(0.2, 0.36),
        right=patient.uniform(0.85, 1.2),
        outflow_radius=patient.uniform(9, 12),
    )
    column, row = _grid(size, spacing, patient)
    painter = Painter(column, row, edge=1.5 * spacing)
    paint_thorax(painter, patient)
    mask = _paint_heart(painter, heart, tilt, phase, patient)
    trabeculae = gaussian_filter(patient.standard_normal(size), 1.2)
    magnitude = acquire(
        painter.signal * (1 + 0.12 * trabeculae),
        scanner,
        noise=scanner.uniform(0.015, 0.05) if noise is None else noise,
        shading=scanner.uniform(0.3, 0.9) if shading is None else shading,
        fraction=(scanner.uniform(0.6, 0.9), 1.0),
        channels=np.random.default_rng([seed, 2, round(1e4 * phase), round(1e4 * (tilt + 90))]),
    )
    bright = np.percentile(magnitude, 99.5) * scanner.uniform(0.85, 1.5)
    pixels = np.clip(magnitude / bright, 0, 1).astype(np.float32)
    visible = bool(mask.sum() * spacing**2 >= VISIBLE_AREA)
    return Phantom(
        image=Image(
            pixels, bits=12, spacing=(spacing, spacing), modality="MR", source=Source(format="simulated")
        ),
        label=int(visible),
        annotations=(Annotation(_tightest(mask), kind="lvot", mask=mask),) if visible else (),
        parameters={"seed": seed, "tilt": float(tilt), "phase": float(phase), "heart": heart},
    )


def _grid(size: tuple[int, int], spacing: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Millimetres of the pixels in the patient's axes; the heart's place, off centre, is the origin."""
    offset = rng.uniform(-OFF_CENTRE, OFF_CENTRE, 2) * max(size) * spacing
    turn = np.deg2rad(rng.uniform(-TURN, TURN))
    rows, columns = ((np.arange(n) - (n - 1) / 2) * spacing for n in size)
    row, column = np.meshgrid(rows + offset[0], columns + offset[1], indexing="ij")
    return np.cos(turn) * column - np.sin(turn) * row, np.sin(turn) * column + np.cos(turn) * row


def _bend(size: tuple[int, int], spacing: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Smooth displacements in millimetres, a few at most: no organ is an ellipsoid."""
    fields = []
    for wavelength, amplitude in ((28.0, 2.2), (11.0, 0.7)):
        blurred = [gaussian_filter(rng.standard_normal(size), wavelength / spacing / 2) for _ in range(2)]
        fields.append([amplitude * field / (field.std() + 1e-12) for field in blurred])
    return fields[0][0] + fields[1][0], fields[0][1] + fields[1][1]


def _paint_heart(
    painter: Painter, heart: Heart, tilt: float, phase: float, rng: np.random.Generator
) -> np.ndarray:
    """Paint the heart and give the mask of the outflow tract."""
    angle = np.deg2rad(rng.uniform(100, 155))  # the apex points to the left chest wall
    along = np.array([np.cos(angle), np.sin(angle)])  # apex to base, in the image
    across = np.array([along[1], -along[0]])
    spacing = float(np.hypot(painter.x[0, 1] - painter.x[0, 0], painter.y[0, 1] - painter.y[0, 0]))
    right, down = _bend(painter.signal.shape, spacing, rng)
    z = along[0] * (painter.x + right) + along[1] * (painter.y + down)
    x = across[0] * (painter.x + right) + across[1] * (painter.y + down)
    points = plane_points(x, z + 0.25 * APEX, tilt)
    mask = np.zeros(painter.signal.shape, bool)
    for name, signal, distance in heart_layers(heart, points, phase):
        cover = painter.paint(distance, signal)
        if name == "outflow":
            mask = cover > 0.5
    return mask


def _tightest(mask: np.ndarray) -> Box:
    rows, columns = np.nonzero(mask)
    return Box(float(columns.min()), float(rows.min()), float(columns.max()), float(rows.max()))
