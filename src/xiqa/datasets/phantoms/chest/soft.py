"""Soft tissue and air: how much water-like matter a ray crosses, and how much lung.

Every part is a solid whose chord along the ray has a closed form: superelliptic cross-sections for the trunk,
ellipsoids for the heart, cylinders for arms, vessels and airways. A chord starts like a square root at the
edge of a solid; this is what makes the sharp borders of heart, diaphragm and pleura on a film.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xiqa.datasets.phantoms.chest.body import Body, Side
from xiqa.datasets.phantoms.chest.grid import texture
from xiqa.types import FloatArray, MaskArray

__all__ = ["SoftParts", "chest_border", "columns", "ellipsoid", "rod", "soft_parts"]


@dataclass(frozen=True, slots=True, eq=False)
class SoftParts:
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


def _arch(t: FloatArray, power: int) -> FloatArray:
    """``(1 - t^p)^(1/2)`` for an even power ``p``, 0 where ``|t| > 1``."""
    square = np.minimum(t * t, 1)
    return np.asarray(np.sqrt(1 - (square if power == 2 else square ** (power // 2))))


def columns(x: FloatArray, low: float, high: float) -> slice:
    """The columns in which any ``x`` lies between two values: where a narrow part needs to be computed."""
    near = np.flatnonzero(((x > low) & (x < high)).any(0))
    return slice(int(near[0]), int(near[-1]) + 1) if near.size else slice(0, 0)


def _ramp(t: FloatArray) -> FloatArray:
    """Smooth step from 0 at ``t <= 0`` to 1 at ``t >= 1``."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def ellipsoid(
    x: FloatArray,
    y: FloatArray,
    centre: tuple[float, float],
    axes: tuple[float, float, float],
    turn: float = 0.0,
) -> FloatArray:
    """Chord through an ellipsoid whose first axis is turned by ``turn`` radians in the image plane."""
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u, v = x - np.float32(centre[0]), y - np.float32(centre[1])
    along, across = (cos * u + sin * v) / np.float32(axes[0]), (cos * v - sin * u) / np.float32(axes[1])
    return np.float32(2 * axes[2]) * np.sqrt(np.maximum(1 - along * along - across * across, 0))


def rod(
    x: FloatArray,
    y: FloatArray,
    start: tuple[float, float],
    end: tuple[float, float],
    radii: tuple[float, float],
) -> FloatArray:
    """Chord through a tapering rod with round ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    u, v = x - np.float32(start[0]), y - np.float32(start[1])
    along = np.clip((u * np.float32(dx) + v * np.float32(dy)) / np.float32(dx * dx + dy * dy), 0, 1)
    u, v = u - along * np.float32(dx), v - along * np.float32(dy)
    radius = np.float32(radii[0]) + along * np.float32(radii[1] - radii[0])
    return 2 * np.sqrt(np.maximum(radius * radius - u * u - v * v, 0))


def _trunk(body: Body, x: FloatArray, y: FloatArray) -> FloatArray:
    """Outer trunk, neck and arms."""
    s, apex = body.scale, body.apex
    chest = body.half_width + body.wall
    # trapezius: from the neck down and out to the shoulder
    slope = np.clip((y - (apex - 90 * s)) / (108 * s), 0, 1)
    neck = 50 * s + 0.5 * body.wall
    out = neck + (body.right.shoulder[0] + 22 * s - neck) * slope**3
    # below the armpit the shoulders' width gives way to the chest's
    below = _ramp((y - (apex + 70 * s)) / (70 * s))
    half_width = out * (1 - below) + chest * below
    full = body.half_depth + 0.5 * body.wall + 2 * s
    half_depth = 76 * s + (full - 76 * s) * _ramp((y - (apex - 60 * s)) / (90 * s))
    trunk = 2 * half_depth * _arch(x / half_width, 4)
    if body.chin > 0:
        jaw = ellipsoid(x, y, (0.6 * body.turn, apex - (150 - body.chin) * s), (64 * s, 52 * s, 62 * s))
        trunk = np.maximum(trunk, 0.8 * (trunk + jaw))
    for side in (body.right, body.left):
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
    border = hump + (body.half_width - hump) * (1 - up * up) ** np.float32(0.66)
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
    chord = depth * _arch(np.asarray(aside / np.maximum(border, 1)), 2) * (y > body.apex)
    # the apices are two domes, not one
    inner = hump * (1 - np.sqrt(1 - square**4 * up))
    return chord * (1 - np.clip((inner - aside) / (10 * s), 0, 1)), border - aside


def _middle(body: Body, x: FloatArray, y: FloatArray) -> FloatArray:
    """Chord of the mediastinum without the heart: soft borders of fat, sharp ones of vessels."""
    s, apex = body.scale, body.apex
    wide = s * (1.12 if body.portable else 1.0)
    h = np.asarray((y - apex) / s, np.float32)
    centre = x - np.float32(body.turn)
    waist = np.exp(-(((h - 108) / 30) ** 2))  # the hila
    half = np.float32(wide) * (25 + 8 * waist + 0.04 * np.maximum(h - 120, 0))
    depth = np.float32(1.7 * body.half_depth) * (0.62 + 0.38 * _ramp(h / np.float32(110)))
    core = np.exp(-(np.minimum((centre / half) ** 2, 30) ** 1.5))
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
    s = body.scale
    trunk = _trunk(body, x, y)
    cavity, inside = _cavity(body, x, y)
    cavity = np.minimum(cavity, np.maximum(trunk - 24 * s, 0))
    floor = (body.right.dome + body.left.dome) / 2
    middle = np.zeros_like(x)
    centre = columns(x, -130 * s, 150 * s)
    middle[:, centre] = _middle(body, x[:, centre], y[:, centre])
    heart = _heart(body, x[:, centre], y[:, centre], floor)
    middle[:, centre] = np.maximum(np.maximum(middle[:, centre], heart), 0.6 * (middle[:, centre] + heart))
    right, left = (_under_dome(body, side, x, y) for side in (body.right, body.left))
    leftness = _ramp((x - np.float32(body.turn - 20 * s)) / (40 * s))
    under = right + leftness * (left - right)
    # the dome and the heart on it both lie in front: what they take from the lung overlaps
    taken = np.float32(1.9 * body.half_depth / math.sqrt(34 * s)) * np.sqrt(np.maximum(under, 0))
    lung = np.maximum(cavity - np.maximum(middle, taken), 0)
    fluid = np.zeros_like(x)
    for side, level in zip((body.right, body.left), body.effusion, strict=True):
        if level > 0:
            outward = np.clip(side.sign * x / body.half_width, 0, 1)
            surface = side.dome + 30 * s - level - 45 * s * outward**4  # the meniscus climbs the side wall
            fluid = fluid + np.where(side.sign * x > 0, lung * _ramp((y - surface) / (45 * s)), 0)
    lung = np.maximum(lung - fluid, 0).astype(np.float32)

    water = trunk - lung * np.float32(1 - body.lung_density)
    water = water + lung * _patches(body, x, y, rng)
    centre = columns(x, -60 * s, 60 * s)
    water[:, centre] -= _airways(body, x[:, centre], y[:, centre])
    water = water + _breasts(body, x, y)
    if body.bubble:
        water = water - _bubble(body, x, y, rng, under)
    water = np.where(trunk > 0, np.maximum(water, 0), 0).astype(np.float32)
    above = (inside > 0) & (under < 0) & (y > body.apex)
    lungs = above & (cavity > 20 * s) & (middle < 0.5 * cavity)
    chest = (inside > -14 * s) & (under < 20 * s) & (y > body.apex - 6 * s)
    return SoftParts(water, lung, trunk > 0, lungs, above & ~lungs & (middle > 0), chest)


def _patches(body: Body, x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Local changes of lung density: mottle everywhere, opacities where the patient is ill."""
    shape = x.shape
    mottle = 0.016 * texture(shape, rng, 1.25, 0.25) + 0.02 * texture(shape, rng, 0.6, 0.4)
    if body.opacity == 0:
        return mottle
    cloud = texture(shape, rng, 1.7, 0.08)
    where = np.zeros_like(x)
    for _ in range(rng.integers(1, 5)):
        side = 1 if rng.random() < 0.5 else -1
        centre = (side * rng.uniform(45, 110) * body.scale, rng.uniform(body.apex + 50, body.right.dome))
        spread = rng.uniform(18, 50, 2) * body.scale
        where += np.exp(-(((x - centre[0]) / spread[0]) ** 2) - ((y - centre[1]) / spread[1]) ** 2)
    spots = np.minimum(where, 1.0) * np.clip(0.5 + 0.6 * cloud, 0, 1.4)
    haze = 0.10 * body.opacity
    return np.asarray(
        mottle * (1 + body.opacity) + np.float32(0.55 * body.opacity) * spots + np.float32(haze)
    )


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
        mound = ellipsoid(u, v, fold, (wide, tall, max(body.breast, 1.0) / 2))
        # it rises gently from above and from the breastbone
        total[:, part] += mound * _ramp((v - fold[1] + tall) / (1.3 * tall)) * _ramp(side.sign * u / (70 * s))
    return total


def _bubble(
    body: Body, x: FloatArray, y: FloatArray, rng: np.random.Generator, under: FloatArray
) -> FloatArray:
    """Air in the stomach under the left dome, sometimes in the colon too."""
    s = body.scale
    centre = (s * rng.uniform(55, 90), body.left.dome + s * rng.uniform(18, 34))
    axes = (s * rng.uniform(14, 38), s * rng.uniform(8, 22), s * rng.uniform(14, 38))
    gas = ellipsoid(x, y, centre, axes, rng.normal(0, 0.25))
    for _ in range(rng.integers(0, 5)):
        place = (s * rng.uniform(50, 130), body.left.dome + s * rng.uniform(30, 85))
        gas = np.maximum(
            gas, ellipsoid(x, y, place, (s * rng.uniform(7, 18), s * rng.uniform(7, 14), 14 * s))
        )
    return gas * _ramp(under / (10 * s))
