"""Ribs, clavicles, scapulae, arms and spine: swept cross-sections with a bright cortex around duller marrow.

A bone is laid down as points of known volume along its course, so that its projection keeps the exact path
length wherever it turns towards the beam; the side of a rib is brighter than its front for that reason alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from xiqa.simulation.chest.body import Body, Side
from xiqa.simulation.chest.grid import Grid
from xiqa.simulation.chest.soft import chest_border
from xiqa.simulation.chest.solids import columns, ellipsoid, rod
from xiqa.types import FloatArray

__all__ = ["BONE_OVER_WATER", "bone_paths"]

# Attenuation of cortical bone over that of water, per mm, at about 70 keV (NIST XCOM).
BONE_OVER_WATER = 0.030
# Marrow with its trabeculae, as a part of cortical bone.
MARROW = 0.5
RIBS = 10


class Points(NamedTuple):
    """Matter as points: patient millimetres, and cubic millimetres of cortex-equivalent bone."""

    x: FloatArray
    y: FloatArray
    volume: FloatArray


def _across(step: float, height: float) -> FloatArray:
    """Midpoints of equal parts of (-1, 1), fine enough for a bone of that height."""
    count = max(5, round(height / step))
    return ((np.arange(count) + 0.5) / count * 2 - 1).astype(np.float32)


def _profile(u: FloatArray, thickness: FloatArray | float, shell: float) -> FloatArray:
    """Cortex-equivalent chord through a flat, round-edged section at ``u`` in (-1, 1) across it."""
    full = thickness * np.sqrt(1 - (u * u) ** 2)
    core = np.maximum(1 - (u * u / 0.67) ** 2, 0)
    marrow = np.maximum(thickness - 2 * shell, 0.0) * np.sqrt(core)
    return np.asarray((full - marrow) + MARROW * marrow)


def _sweep(
    course: FloatArray, height: FloatArray, thickness: FloatArray, shell: float, step: float
) -> Points:
    """A flat bone along a plane course ``(n, 2)`` with heights and thicknesses ``(n,)``, as points."""
    tangent = np.gradient(course, axis=0)
    length = np.hypot(tangent[:, 0], tangent[:, 1]) + 1e-6
    along = np.cumsum(length)
    end = np.minimum(along, along[-1] - along)
    height = height * np.sqrt(np.clip(2 * end / height, 0.02, 1))  # round ends
    u = _across(step, float(height.max()))
    beside = (height / (2 * length))[:, None] * u
    x = course[:, :1] - tangent[:, 1:] * beside
    y = course[:, 1:] + tangent[:, :1] * beside
    area = length[:, None] * height[:, None] / len(u)
    return Points(x, y, _profile(u[None, :], thickness[:, None], shell) * area)


def _through(knots: list[tuple[float, float]], step: float) -> FloatArray:
    """The polynomial through a few knots, sampled about every ``step`` mm."""
    points = np.asarray(knots, np.float64)
    chord = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    coefficients = np.linalg.solve(np.vander(chord / chord[-1]), points)
    along = np.linspace(0, 1, max(8, int(chord[-1] / step)))
    return np.asarray(np.vander(along, len(points)) @ coefficients, np.float32)


def _ribs(body: Body, grid: Grid, rng: np.random.Generator) -> Points:
    """All ribs of both sides at once, in three dimensions."""
    s = body.scale
    number = np.arange(1, RIBS + 1, dtype=np.float32)
    pitch = (body.right.dome - body.apex + 58 * s) / 9.6
    slope = rng.uniform(0.85, 1.15)
    spine_y = body.apex + 8 * s + pitch * (number - 1.6)
    depth = np.float32(body.half_depth + 4 * s) * np.linspace(0.55, 1.0, RIBS, dtype=np.float32) ** 0.7
    drop = s * slope * np.array([34, 62, 84, 100, 112, 122, 130, 136, 138, 138], np.float32)
    side_y = spine_y + np.float32(0.45) * drop  # where a rib turns, it hugs the lung
    reach = np.maximum(chest_border(body, side_y), 50 * s) + np.float32(3 * s)
    end = np.pi * np.array([0.86, 0.84, 0.83, 0.82, 0.81, 0.78, 0.74, 0.70, 0.64, 0.58], np.float32)
    samples = int(2.55 * body.half_width / (0.9 * grid.work_spacing))
    t = np.linspace(0, 1, samples, dtype=np.float32)
    angle = 0.16 + (end[:, None] - 0.16) * t  # (ribs, samples), 0 at the spine, pi at the breastbone
    sin, cos, swing = np.sin(angle), np.cos(angle), (1 - np.cos(angle)) / 2
    heights = s * np.array([12, 12, 12.5, 13, 13.5, 14, 14, 13.5, 13, 11], np.float32)
    height = heights[:, None] * (0.76 + 0.24 * np.minimum(t / 0.3, 1) + 0.12 * np.clip((t - 0.9) / 0.1, 0, 1))
    thick = 0.62 * height * (1.2 - 0.55 * t)
    u = _across(0.85 * grid.work_spacing, float(heights.max()))
    section = _profile(u, thick[..., None], 2.4 * s)
    z = depth[:, None] * cos
    magnify = 1 + z / (1000.0 if body.portable else 1800.0)
    # points lie in turn in the outer and in the inner half of the bone
    layer = np.where((np.arange(samples)[:, None] + np.arange(len(u))) % 2, 0.3, -0.3).astype(np.float32)
    hidden = np.array([0.8, 1, 1, 1, 1, 1, 0.95, 0.85, 0.65, 0.45], np.float32)
    # seen along its course a rib hides behind its neighbours
    edge_on = np.float32(body.bone) * hidden[:, None] * (0.25 + 0.75 * np.abs(cos))
    points_x, points_y, volumes = [], [], []
    for sign in (-1, 1):
        wobble = rng.normal(0, 1.0 * s, (RIBS, 2)).astype(np.float32)
        x = sign * (reach[:, None] * sin**0.9 + 9 * s * (1 - t) ** 2)
        y = spine_y[:, None] + drop[:, None] * swing**0.85 - 5 * s * np.sin(2 * angle) * (t < 0.5)
        y = y + wobble[:, :1] + wobble[:, 1:] * np.sin(3 * angle)
        tangent = np.stack([np.gradient(part, axis=1) for part in (x, y, z)])
        length = np.sqrt((tangent**2).sum(0)) + 1e-6
        # the rib's height stands upright on its course and on the chest's radius (sign sin, 0, cos)
        up_x, up_y = tangent[1] * cos, tangent[2] * sign * sin - tangent[0] * cos
        up_z = -tangent[1] * sign * sin
        norm = np.sqrt(up_x**2 + up_y**2 + up_z**2) + 1e-6
        fade = np.clip((1 - t) / 0.03, 0, 1) * np.clip(t / 0.05, 0, 1)
        volume = section * (fade * edge_on * length * height / len(u))[..., None]
        half_x, half_y = (up / norm * (0.5 * magnify * height) for up in (up_x, up_y))
        aside = (sign * thick * sin * magnify)[..., None] * layer
        points_x.append((x * magnify)[..., None] + half_x[..., None] * u + aside)
        points_y.append((y * magnify)[..., None] + half_y[..., None] * u)
        volumes.append(volume)
    return Points(np.stack(points_x), np.stack(points_y), np.stack(volumes))


def _clavicle(body: Body, side: Side, step: float, rng: np.random.Generator) -> Points:
    s, sign = body.scale, side.sign
    high = body.apex + s * (rng.uniform(2, 22) if body.portable else rng.uniform(16, 36))
    rise = s * rng.uniform(-4, 22)
    tip = side.shoulder[0] - 12 * s
    knots = [
        (sign * 15 * s + body.turn, high + 14 * s),
        (sign * 0.32 * tip + 0.6 * body.turn, high + 3 * s),
        (sign * 0.62 * tip, high - 0.55 * rise - 3 * s),
        (sign * 0.85 * tip, high - 0.95 * rise - 2 * s),
        (sign * tip, high - rise + 3 * s),
    ]
    course = _through(knots, step)
    t = np.linspace(-1, 1, len(course), dtype=np.float32)
    height = s * (10.5 + 8 * np.clip(-t - 0.5, 0, 1) + 5 * np.clip(t - 0.6, 0, 1))
    return _sweep(course, height, 1.05 * height, 2.4 * s, step)


def _humerus(body: Body, side: Side, x: FloatArray, y: FloatArray) -> FloatArray:
    """A tube of cortex with a spongy head."""
    s, sign, angle = body.scale, side.sign, side.abduction
    head = (sign * (side.shoulder[0] - 1 * s), side.shoulder[1] + 2 * s)
    neck = (head[0] + sign * 11 * s, head[1] + 20 * s)
    end = (neck[0] + sign * 260 * s * math.sin(angle), neck[1] + 260 * s * math.cos(angle))
    shaft = rod(x, y, neck, end, (14.5 * s, 9.5 * s)) - rod(x, y, neck, end, (12.5 * s, 4.5 * s))
    ball = ellipsoid(x, y, head, (23 * s, 23 * s, 23 * s))
    core = ellipsoid(x, y, head, (22 * s, 22 * s, 22 * s))
    return np.asarray(0.7 * np.maximum(shaft, 0.8 * (ball - core) + 0.07 * core))


def _scapula(body: Body, side: Side, step: float, rng: np.random.Generator) -> list[Points]:
    """Its three borders, the spine that ends in the acromion, the socket and the coracoid."""
    s = body.scale
    inner = body.half_width * (rng.uniform(0.62, 0.8) if body.portable else rng.uniform(0.86, 1.0))
    out, middle = side.shoulder[0] - 27 * s, side.shoulder[1] + 4 * s
    top = middle - 26 * s
    upper, tip = (inner + 4 * s, top), (inner + 12 * s, top + rng.uniform(118, 140) * s)
    acromion = (out + 33 * s, middle - 34 * s)
    edges = [  # course, height, thickness
        ([upper, ((upper[0] + tip[0]) / 2 - 5 * s, (upper[1] + tip[1]) / 2), tip], 4, 4),
        ([tip, ((tip[0] + out) / 2 - 4 * s, (tip[1] + middle) / 2 + 6 * s), (out, middle)], 8, 8),
        ([upper, ((upper[0] + out) / 2, top + 4 * s), (out, middle - 16 * s)], 4, 4),
        ([(inner, top + 30 * s), (out - 14 * s, middle - 22 * s), acromion], 9, 6),
        ([(out, middle - 17 * s), (out + 2 * s, middle), (out - 2 * s, middle + 17 * s)], 8, 7),
        ([(out - 12 * s, top + 6 * s), (out + 2 * s, top + 10 * s)], 11, 10),
    ]
    parts = []
    for knots, height, thickness in edges:
        course = _through([(side.sign * x, y) for x, y in knots], step)
        ones = np.full(len(course), s, np.float32)
        parts.append(_sweep(course, height * ones, 1.4 * thickness * ones, 1.4 * s, step))
    return parts


def _spine(body: Body, x: FloatArray, y: FloatArray) -> FloatArray:
    """Vertebral bodies with end plates, pedicles, transverse and spinous processes."""
    s = body.scale
    pitch = s * 23.5 * (1 + 0.0008 * (y - body.apex))
    phase = (y - body.apex) / pitch
    part = phase - np.floor(phase)  # 0 at the middle of a body
    centred = np.where(part > 0.5, part - 1, part)
    axis = x - np.float32(0.25 * body.turn)
    half = s * (14.5 + 0.022 * np.clip(y - body.apex, -60, 300))
    side = np.abs(axis) / half
    waist = 1 - 0.07 * np.cos(2 * np.pi * centred)
    inside = np.clip((1.02 * waist - side) * half / 1.6, 0, 1)
    disc = np.clip((np.abs(centred) - 0.40) / 0.05, 0, 1)
    plate = np.exp(-(((np.abs(centred) - 0.385) / 0.035) ** 2))
    rim = np.exp(-(((side - 0.95 * waist) / 0.1) ** 2))
    bodies = inside * ((1 - disc) * (3.0 + 0.9 * plate) + disc * 1.2) + 0.8 * rim * (1 - disc)
    pedicle = np.hypot((side - 0.62) / 0.2, (centred + 0.14) / 0.2)
    ring = np.exp(-(((pedicle - 0.85) / 0.22) ** 2))
    spinous = np.exp(-((axis / (2.6 * s)) ** 2)) * np.exp(-(((centred - 0.28) / 0.22) ** 2))
    transverse = np.exp(-(((centred + 0.2) / 0.1) ** 2)) * (side > 0.8) * np.clip(2.1 - side, 0, 0.6)
    return np.asarray((s * (bodies + 2.0 * ring + 2.6 * spinous + 2.2 * transverse)).astype(np.float32))


def bone_paths(body: Body, grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Millimetres of cortex-equivalent bone on the work grid.

    Args:
        body: The patient.
        grid: The image.
        rng: Source of small differences between bones.
    """
    step = 0.75 * grid.work_spacing
    parts = [_ribs(body, grid, rng)]
    for side in (body.right, body.left):
        parts += [_clavicle(body, side, step, rng), *_scapula(body, side, step, rng)]
    x, y, volume = (
        np.concatenate([part.ravel() for part in column]).astype(np.float32, copy=False)
        for column in zip(*parts, strict=True)
    )
    total = grid.deposit(x, y, volume)
    x, y = grid.patient_axes()
    centre = columns(x, -60 * body.scale, 60 * body.scale)
    total[:, centre] += _spine(body, x[:, centre], y[:, centre])
    for side in (body.right, body.left):
        outer = columns(side.sign * x, side.shoulder[0] - 40 * body.scale, 1e3)
        total[:, outer] += _humerus(body, side, x[:, outer], y[:, outer])
    return total
