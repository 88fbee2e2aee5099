"""A beating heart of ellipsoids and tubes, cut by an oblique plane.

Heart coordinates in millimetres: ``x`` from the septum (negative) to the lateral wall, ``y`` from posterior
(negative) to anterior, ``z`` from the apex (negative) to the base; the mitral valve lies at ``z = 0`` in
diastole. The 4-chamber plane is ``y = 0``; tilting it forwards about the apex makes it run through the
left ventricular outflow tract: the five-chamber view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Heart", "contraction", "heart_layers", "plane_points"]

Array = NDArray[np.float64]

# Signal of balanced steady-state free precession relative to blood.
BLOOD, MYOCARDIUM, WALL, LEAFLET, FAT = 1.0, 0.38, 0.30, 0.25, 0.85
APEX = -85.0


@dataclass(frozen=True, slots=True)
class Heart:
    """One heart.

    Attributes:
        scale: Size relative to an adult's.
        wall: Thickness of the left ventricular wall at the end of diastole, mm.
        ejection: Fraction by which the cavity's radius shrinks in systole.
        right: Size of the right ventricle relative to the usual.
        outflow_radius: Radius of the outflow tract, mm.
    """

    scale: float = 1.0
    wall: float = 10.0
    ejection: float = 0.3
    right: float = 1.0
    outflow_radius: float = 10.5


def contraction(phase: float) -> float:
    r"""How far systole has come, :math:`\sin^2(\pi t^{3/4})`: 0 at the R wave, 1 near :math:`t = 0.4`.

    >>> contraction(0.0), round(contraction(0.397), 3)
    (0.0, 1.0)
    """
    return float(np.sin(np.pi * (phase % 1.0) ** 0.75) ** 2)


def plane_points(x: Array, z: Array, tilt: float) -> Array:
    """Heart coordinates ``(..., 3)`` of in-plane millimetres, for a plane tilted by ``tilt`` degrees.

    The axis of the tilt runs through the apex, parallel to the line from septum to lateral wall.
    """
    angle = np.deg2rad(tilt)
    reach = z - APEX
    return np.stack([x, reach * np.sin(angle), APEX + reach * np.cos(angle)], axis=-1)


def _ellipsoid(points: Array, centre: tuple[float, ...], axes: tuple[float, ...]) -> Array:
    """Signed distance to an ellipsoid, exact to first order at its surface; negative inside."""
    offset = (points - np.array(centre)) / np.array(axes)
    radius = np.linalg.norm(offset, axis=-1) + 1e-9
    slope = np.linalg.norm(offset / np.array(axes), axis=-1) / radius + 1e-9
    return np.asarray((radius - 1) / slope)


def _tube(points: Array, start: tuple[float, ...], end: tuple[float, ...], radius: float) -> Array:
    """Signed distance to a tube with round ends."""
    a, axis = np.array(start), np.array(end) - np.array(start)
    along = np.clip((points - a) @ axis / (axis @ axis), 0, 1)
    return np.asarray(np.linalg.norm(points - a - along[..., None] * axis, axis=-1) - radius)


def heart_layers(heart: Heart, points: Array, phase: float) -> list[tuple[str, float, Array]]:
    """The heart's parts in painting order, as (name, signal, signed distance in mm).

    Later parts cover earlier ones. The parts named ``outflow`` make up the tract whose presence is the
    quality problem.
    """
    squeeze = contraction(phase)
    p = points / heart.scale
    base = -12.0 * squeeze  # the valve plane moves towards the apex
    radial = 1 - heart.ejection * squeeze
    cavity_axes = ((37 - heart.wall) * radial, (37 - heart.wall) * radial, 76 + base)
    epicardium = _ellipsoid(p, (0, 0, base), (37 - 1.5 * squeeze, 37 - 1.5 * squeeze, 86 + base))
    below = p[..., 2] - base - 4  # ventricles end at the valve plane
    atria_above = base - p[..., 2] + 1
    epicardium = np.maximum(epicardium, below)
    right_axes = (42 * heart.right * (1 - 0.5 * heart.ejection * squeeze), 42.0, 70 + base)
    right = np.maximum(_ellipsoid(p, (-30, 4, base), right_axes), below)
    right_cavity = np.maximum(np.maximum(right + 3, -(epicardium - 0.5)), below + 3)
    cavity = np.maximum(_ellipsoid(p, (0, 0, base), cavity_axes), below + 3)
    swell = 1 + 0.12 * squeeze  # atria fill while ventricles empty
    left_atrium = np.maximum(
        _ellipsoid(p, (6, -8, 27 + base), (27 * swell, 38 * swell, 27 * swell)), atria_above
    )
    right_atrium = np.maximum(
        _ellipsoid(p, (-48, -6, 24 + base), (26 * swell, 38 * swell, 27 * swell)), atria_above
    )
    root, arch = (-12.0, 27.0, 22.0 + base), (-20.0, 52.0, 48.0)
    outflow = _tube(p, (-7.0, 20.0, base - 16), root, heart.outflow_radius)
    aorta = _tube(p, root, arch, heart.outflow_radius + 3)
    tract = np.minimum(outflow, aorta)
    papillary = np.minimum(
        _ellipsoid(p, (13 * radial, 13, -30), (5, 5, 15)),
        _ellipsoid(p, (13 * radial, -11, -32), (5.5, 5, 14)),
    )
    leaflets = np.abs(p[..., 2] - base + 1 + 0.25 * np.abs(p[..., 0])) - 0.9
    leaflets = np.maximum(leaflets, np.minimum(cavity, right_cavity) - 1.5)
    fat = np.minimum(epicardium, np.minimum(right, np.minimum(left_atrium, right_atrium))) - 5
    layers = [
        ("fat", FAT, fat),
        ("right wall", MYOCARDIUM, right),
        ("myocardium", MYOCARDIUM, epicardium),
        ("atrial wall", WALL, np.minimum(left_atrium, right_atrium) - 2),
        ("right ventricle", 0.95 * BLOOD, right_cavity),
        ("right atrium", 0.95 * BLOOD, right_atrium),
        ("left atrium", BLOOD, left_atrium),
        ("left ventricle", BLOOD, cavity),
        ("papillary", MYOCARDIUM, np.maximum(papillary, cavity)),
        ("leaflets", LEAFLET, leaflets),
        # open towards the ventricle: no wall inside the cavity
        ("outflow wall", WALL, np.maximum(tract - 2, -cavity)),
        ("outflow", (1.0 - 0.2 * squeeze) * BLOOD, tract),
    ]
    return [(name, signal, distance * heart.scale) for name, signal, distance in layers]
