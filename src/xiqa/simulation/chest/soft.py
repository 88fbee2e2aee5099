"""Soft tissue and air: how much water-like matter a ray crosses, and how much lung.

Every part is a solid whose chord along the ray has a closed form: superelliptic cross-sections for the trunk,
ellipsoids for the heart, cylinders for arms, vessels and airways. A chord starts like a square root at the
edge of a solid; this is what makes the sharp borders of heart, diaphragm and pleura on an image.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from xiqa.simulation.chest.body import Body, Side
from xiqa.simulation.chest.grid import strips
from xiqa.simulation.chest.inside import Density, Gas, draw_density, draw_gas
from xiqa.simulation.chest.solids import arch, columns, crosses, ellipsoid, ramp, rod
from xiqa.types import FloatArray, MaskArray

__all__ = ["SoftParts", "chest_border", "soft_parts"]


class SoftParts(NamedTuple):
    """Path lengths on the work grid.

    Attributes:
        water: Water-equivalent millimetres of everything but bone and lung vessels.
        lung: Millimetres inside the lungs.
        body: Pixels over the patient.
        lungs: Pixels over the lungs and not over the heart or below the diaphragm's dome.
        middle: Pixels over the mediastinum and the heart, above the diaphragm.
        chest: Pixels over the rib cage with its wall, down to the lungs' lowest corners.
    """

    water: FloatArray
    lung: FloatArray
    body: MaskArray
    lungs: MaskArray
    middle: MaskArray
    chest: MaskArray


def _trunk(body: Body, x: FloatArray, y: FloatArray) -> FloatArray:
    """Outer trunk, neck and arms."""
    s, apex = body.scale, body.apex
    chest = body.half_width + body.wall
    # trapezius: from the neck down and out to the shoulder
    slope = np.clip((y - (apex - 90 * s)) / (108 * s), 0, 1)
    neck = 50 * s + 0.5 * body.wall
    out = neck + (body.right.shoulder[0] + 22 * s - neck) * slope * slope * slope
    # below the armpit the shoulders' width gives way to the chest's
    below = ramp((y - (apex + 70 * s)) / (70 * s))
    half_width = out * (1 - below) + chest * below
    full = body.half_depth + 0.5 * body.wall + 2 * s
    half_depth = 76 * s + (full - 76 * s) * ramp((y - (apex - 60 * s)) / (90 * s))
    trunk = 2 * half_depth * arch(x / half_width, 4)
    if body.chin > 0:
        jaw = ellipsoid(x, y, (0.6 * body.turn, apex - (150 - body.chin) * s), (64 * s, 52 * s, 62 * s))
        trunk = np.maximum(trunk, 0.8 * (trunk + jaw))
    for side in (body.right, body.left):
        if not crosses(y, side.shoulder[1] - 75 * s - body.wall, 1e3):
            continue
        part = columns(side.sign * x, 80 * s, 1e3)
        trunk[:, part] = np.maximum(trunk[:, part], _arm(body, side, x[:, part], y[:, part]))
    return trunk


def _arm(body: Body, side: Side, x: FloatArray, y: FloatArray) -> FloatArray:
    s, reach = body.scale, 260.0
    start = (side.sign * (side.shoulder[0] + 2 * s), side.shoulder[1] + 8 * s)
    end = (
        start[0] + side.sign * reach * math.sin(side.abduction),
        start[1] + reach * math.cos(side.abduction),
    )
    thick = 44 * s + 0.6 * body.wall
    return rod(x, y, start, end, (1.08 * thick, 0.9 * thick))


def chest_border(body: Body, y: FloatArray) -> FloatArray:
    """Half-width of the space inside the ribs at a height; 0 above the lungs' tops."""
    waist, hump = 70 * body.scale, 56 * body.scale
    up = np.clip((waist - y) / (waist - body.apex), 0, 1)
    taper = 1 - up * up
    border = hump + (body.half_width - hump) * np.sqrt(taper * np.sqrt(taper))
    border = border - np.float32(0.0009) * np.maximum(y - waist, 0) ** 2
    return np.where(y > body.apex, border, 0).astype(np.float32)


def _cavity(body: Body, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Depth of the space inside the ribs, and the distance inside its side border (positive inside)."""
    s = body.scale
    waist, hump = 70 * s, 56 * s
    border, aside = chest_border(body, y), np.abs(x)
    up = np.clip((waist - y) / (waist - body.apex), 0, 1)
    square = up * up
    depth = 2 * (body.half_depth - 46 * s * square)
    chord = depth * arch(np.asarray(aside / np.maximum(border, 1)), 2) * (y > body.apex)
    # the apices are two domes, not one
    fourth = square * square
    inner = hump * (1 - np.sqrt(1 - fourth * fourth))
    return chord * (1 - np.clip((inner - aside) / (10 * s), 0, 1)), border - aside


def _middle(body: Body, x: FloatArray, y: FloatArray) -> FloatArray:
    """Chord of the mediastinum without the heart: soft borders of fat, sharp ones of vessels."""
    s, apex = body.scale, body.apex
    wide = s * (1.12 if body.portable else 1.0)
    h = np.asarray((y - apex) / s, np.float32)
    centre = x - np.float32(body.turn)
    waist = np.exp(-(((h - 108) / 30) ** 2))  # the hila
    half = np.float32(wide) * (25 + 8 * waist + 0.04 * np.maximum(h - 120, 0))
    depth = np.float32(1.7 * body.half_depth) * (0.62 + 0.38 * ramp(h / np.float32(110)))
    away = np.minimum(np.abs(centre / half), 4)
    core = np.exp(-away * away * away)
    near = columns(centre, -60 * s, 60 * s)
    centre, y = centre[:, near], y[:, near]
    vein = ellipsoid(centre, y, (-17 * wide, apex + 66 * s), (12 * wide, 70 * s, 16 * s), -0.04)
    knob = ellipsoid(centre, y, (16 * wide, apex + 66 * s), (20 * wide, 19 * s, 24 * s))
    trunk = ellipsoid(centre, y, (19 * wide, apex + 98 * s), (20 * wide, 24 * s, 26 * s), 0.5)
    aorta = rod(centre, y, (21 * wide, apex + 66 * s), (13 * wide, apex + 330 * s), (13 * s, 12 * s))
    solid = np.maximum(np.maximum(vein, knob), np.maximum(trunk, aorta))
    chord = depth * core
    chord[:, near] = np.maximum(chord[:, near], 0.55 * chord[:, near] + solid)
    return np.asarray(chord)


def _heart(body: Body, x: FloatArray, y: FloatArray, floor: float) -> FloatArray:
    k, shift = body.heart, 1.3 * body.turn
    base = floor - 17 * k
    ventricles = ellipsoid(x, y, (26 * k + shift, base - 8 * k), (76 * k, 50 * k, 78 * k), 0.62)
    atrium = ellipsoid(x, y, (-11 * k + shift, base - 16 * k), (36 * k, 56 * k, 72 * k), 0.12)
    outflow = ellipsoid(x, y, (17 * k + shift, base - 56 * k), (27 * k, 48 * k, 62 * k), -0.25)
    return np.maximum(np.maximum(ventricles, atrium), outflow)


def _under_dome(body: Body, side: Side, x: FloatArray, y: FloatArray) -> FloatArray:
    """How far a pixel lies below the edge of one side of the diaphragm, mm."""
    s = body.scale
    distance = side.sign * x
    outward = np.maximum(distance - side.dome_x, 0) / (body.half_width - side.dome_x)
    inward = np.maximum(side.dome_x - distance, 0) / side.dome_x
    return np.asarray(
        y
        - np.float32(side.dome)
        - np.float32(s) * (42 * outward * outward * np.sqrt(outward) + 8 * inward * inward)
    )


def soft_parts(body: Body, x: FloatArray, y: FloatArray, rng: np.random.Generator) -> SoftParts:
    """Project the trunk, the lungs and what lies between them.

    Args:
        body: The patient.
        x: Patient millimetres, ``(h, w)``.
        y: The same, downwards.
        rng: Source of patches and textures.

    Returns:
        Path lengths and masks on the same grid.
    """
    density = draw_density(body, x.shape, rng)
    gas = draw_gas(body, rng)
    parts = [_project(body, x[rows], y[rows], density.at(rows), gas) for rows in strips(len(x))]
    return SoftParts(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _project(body: Body, x: FloatArray, y: FloatArray, density: Density, gas: list[Gas]) -> SoftParts:
    """The same for some of the rows."""
    s = body.scale
    trunk = _trunk(body, x, y)
    cavity, inside = _cavity(body, x, y)
    cavity = np.minimum(cavity, np.maximum(trunk - 24 * s, 0))
    middle = np.zeros_like(x)
    centre = columns(x, -130 * s, 150 * s)
    middle[:, centre] = _middle(body, x[:, centre], y[:, centre])
    floor = (body.right.dome + body.left.dome) / 2
    if crosses(y, floor - 150 * body.heart, floor + 80 * body.heart):
        heart = _heart(body, x[:, centre], y[:, centre], floor)
        middle[:, centre] = np.maximum(
            np.maximum(middle[:, centre], heart), 0.6 * (middle[:, centre] + heart)
        )
    right, left = (_under_dome(body, side, x, y) for side in (body.right, body.left))
    under = right + ramp((x - np.float32(body.turn - 20 * s)) / (40 * s)) * (left - right)
    # the dome and the heart on it both lie in front: what they take from the lung overlaps
    taken = np.float32(1.9 * body.half_depth / math.sqrt(34 * s)) * np.sqrt(np.maximum(under, 0))
    lung = np.maximum(cavity - np.maximum(middle, taken), 0)
    lung = (lung * (1 - _fluid(body, x, y))).astype(np.float32)

    water = trunk - lung * (np.float32(1 - body.lung_density) - density.over(x, y))
    if crosses(y, -1e3, body.apex + 115 * s):
        centre = columns(x, -60 * s, 60 * s)
        water[:, centre] -= _airways(body, x[:, centre], y[:, centre])
    water += _breasts(body, x, y)
    if gas and under.max() > 0:
        bubble = np.maximum.reduce([ellipsoid(x, y, *place) for place in gas])
        water -= bubble * ramp(under / (10 * s))
    water = np.where(trunk > 0, np.maximum(water, 0), 0).astype(np.float32)
    above = (inside > 0) & (under < 0) & (y > body.apex)
    lungs = above & (cavity > 20 * s) & (middle < 0.5 * cavity)
    chest = (inside > -14 * s) & (under < 20 * s) & (y > body.apex - 6 * s)
    return SoftParts(water, lung, trunk > 0, lungs, above & ~lungs & (middle > 0), chest)


def _fluid(body: Body, x: FloatArray, y: FloatArray) -> FloatArray | float:
    """The part of each ray's lung that fluid has replaced."""
    s = body.scale
    total: FloatArray | float = 0.0
    for side, level in zip((body.right, body.left), body.effusion, strict=True):
        if level > 0:
            outward = np.clip(side.sign * x / body.half_width, 0, 1) ** 2
            # the meniscus climbs the side wall
            surface = np.float32(side.dome + 30 * s - level) - np.float32(45 * s) * outward * outward
            total = np.asarray(total + np.where(side.sign * x > 0, ramp((y - surface) / (45 * s)), 0))
    return total


def _airways(body: Body, x: FloatArray, y: FloatArray) -> FloatArray:
    """Trachea and main bronchi, tubes of air."""
    s, lean = body.scale, body.turn
    fork = (lean + 2 * s, body.apex + 78 * s)
    top = (0.5 * lean, body.apex - 120 * s)
    air = rod(x, y, top, fork, (8.5 * s, 7.5 * s))
    air = np.maximum(air, rod(x, y, fork, (fork[0] - 27 * s, fork[1] + 24 * s), (6.5 * s, 4.5 * s)))
    return np.asarray(
        0.9 * np.maximum(air, rod(x, y, fork, (fork[0] + 36 * s, fork[1] + 22 * s), (5.5 * s, 4 * s)))
    )


def _breasts(body: Body, x: FloatArray, y: FloatArray) -> FloatArray:
    """Two half-ellipsoids with a sharp lower fold; the chest muscles in a man."""
    s = body.scale
    total = np.zeros_like(x)
    wide, tall = (70 * s, 62 * s) if body.female else (74 * s, 66 * s)
    for side in (body.right, body.left):
        part = columns(side.sign * x, 0, 175 * s)
        u, v = x[:, part], y[:, part]
        fold = (side.sign * 88 * s, side.dome - (22 if body.female else 62) * s)
        if not crosses(v, fold[1] - tall, fold[1] + tall):
            continue
        mound = ellipsoid(u, v, fold, (wide, tall, max(body.breast, 1.0) / 2))
        # it rises gently from above and from the breastbone
        total[:, part] += mound * ramp((v - fold[1] + tall) / (1.3 * tall)) * ramp(side.sign * u / (70 * s))
    return total
