"""Ribs, clavicles, scapulae, arms and spine: swept cross-sections with a bright cortex around duller marrow.

A bone is laid down as points of known volume along its course, so that its projection keeps the exact path
length wherever it turns towards the beam; the side of a rib is brighter than its front for that reason alone.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.interpolate import make_interp_spline

from xiqa.datasets.phantoms.chest.body import Body, Side
from xiqa.datasets.phantoms.chest.grid import Grid
from xiqa.datasets.phantoms.chest.soft import ellipsoid, rod
from xiqa.types import FloatArray

__all__ = ["BONE_OVER_WATER", "bone_paths"]

# Attenuation of cortical bone over that of water, per mm, at about 70 keV (NIST XCOM).
BONE_OVER_WATER = 0.030
# Marrow with its trabeculae, as a part of cortical bone.
MARROW = 0.34
RIBS = 10


def _across(step: float, height: float) -> FloatArray:
    """Midpoints of equal parts of (-1, 1), fine enough for a bone of that height."""
    count = max(5, round(height / step))
    return ((np.arange(count) + 0.5) / count * 2 - 1).astype(np.float32)


def _profile(u: FloatArray, thickness: FloatArray | float, shell: float) -> FloatArray:
    """Cortex-equivalent chord through an elliptic section at ``u`` in (-1, 1) across it."""
    full = thickness * np.sqrt(1 - u * u)
    core = np.maximum(1 - (u / 0.86) ** 2, 0)
    marrow = np.maximum(thickness - 2 * shell, 0.0) * np.sqrt(core)
    return np.asarray((full - marrow) + MARROW * marrow)


def _sweep(
    grid: Grid,
    course: FloatArray,
    height: FloatArray,
    thickness: FloatArray,
    shell: float,
) -> FloatArray:
    """Project flat bones along plane courses ``(n, 2)`` with heights and thicknesses ``(n,)``."""
    tangent = np.gradient(course, axis=0)
    length = np.hypot(tangent[:, 0], tangent[:, 1]) + 1e-6
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) / length[:, None]
    u = _across(0.5 * grid.work_spacing, float(height.max()))
    points = course[:, None] + normal[:, None] * (u[None, :, None] * height[:, None, None] / 2)
    area = length[:, None] * height[:, None] / len(u)
    volume = _profile(u[None, :], thickness[:, None], shell) * area
    return grid.deposit(
        points[..., 0].astype(np.float32), points[..., 1].astype(np.float32), volume.astype(np.float32)
    )


def _spline(knots: list[tuple[float, float]], step: float) -> FloatArray:
    """A smooth curve through knots, sampled every ``step`` mm."""
    points = np.asarray(knots, np.float64)
    chord = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    spline = make_interp_spline(chord, points, k=min(3, len(points) - 1))
    return np.asarray(spline(np.linspace(0, chord[-1], max(8, int(chord[-1] / step)))), np.float32)


def _ribs(body: Body, grid: Grid, rng: np.random.Generator) -> FloatArray:
    """All ribs of both sides at once, in three dimensions."""
    s = body.scale
    number = np.arange(1, RIBS + 1, dtype=np.float32)
    pitch = (body.right.dome - body.apex + 58 * s) / 9.6
    slope = rng.uniform(0.85, 1.15)
    spine_y = body.apex + 8 * s + pitch * (number - 1.6)
    reach = np.float32(body.half_width + 3 * s) * np.array(
        [0.46, 0.66, 0.79, 0.88, 0.94, 0.98, 1.0, 1.0, 0.985, 0.95], np.float32
    )
    depth = np.float32(body.half_depth + 4 * s) * np.linspace(0.55, 1.0, RIBS, dtype=np.float32) ** 0.7
    drop = s * slope * np.array([34, 62, 84, 100, 112, 122, 130, 136, 138, 138], np.float32)
    end = np.pi * np.array([0.86, 0.84, 0.83, 0.82, 0.81, 0.78, 0.74, 0.70, 0.64, 0.58], np.float32)
    samples = int(2.55 * body.half_width / (0.8 * grid.work_spacing))
    t = np.linspace(0, 1, samples, dtype=np.float32)
    angle = 0.16 + (end[:, None] - 0.16) * t  # (ribs, samples), 0 at the spine, pi at the breastbone
    sin, cos, swing = np.sin(angle), np.cos(angle), (1 - np.cos(angle)) / 2
    heights = s * np.array([12, 12, 12.5, 13, 13.5, 14, 14, 13.5, 13, 11], np.float32)
    height = heights[:, None] * (0.76 + 0.24 * np.minimum(t / 0.3, 1) + 0.12 * np.clip((t - 0.9) / 0.1, 0, 1))
    thick = 0.55 * height * (1.1 - 0.25 * t)
    u = _across(0.75 * grid.work_spacing, float(heights.max()))
    section = _profile(u, thick[..., None], 1.0 * s)
    z = depth[:, None] * cos
    magnify = 1 + z / (1000.0 if body.portable else 1800.0)
    points_x, points_y, volumes = [], [], []
    for sign in (-1, 1):
        wobble = rng.normal(0, 1.0 * s, (RIBS, 2)).astype(np.float32)
        x = sign * (reach[:, None] * sin**0.9 + 9 * s * (1 - t) ** 2)
        y = spine_y[:, None] + drop[:, None] * swing**1.15 - 5 * s * np.sin(2 * angle) * (t < 0.5)
        y = y + wobble[:, :1] + wobble[:, 1:] * np.sin(3 * angle)
        tangent = np.stack([np.gradient(part, axis=1) for part in (x, y, z)])
        length = np.sqrt((tangent**2).sum(0)) + 1e-6
        # the rib's height stands upright on its course and on the chest's radius (sign sin, 0, cos)
        up_x, up_y = tangent[1] * cos, tangent[2] * sign * sin - tangent[0] * cos
        up_z = -tangent[1] * sign * sin
        norm = np.sqrt(up_x**2 + up_y**2 + up_z**2) + 1e-6
        fade = np.clip((1 - t) / 0.015, 0, 1)
        volume = 0.5 * section * (fade * length * height / len(u))[..., None]
        half_x, half_y = (up / norm * (0.5 * magnify * height) for up in (up_x, up_y))
        row = (y * magnify)[..., None] + half_y[..., None] * u
        for layer in (-0.3, 0.3):  # the outer and the inner half
            middle = (x + sign * layer * thick * sin) * magnify
            points_x.append(middle[..., None] + half_x[..., None] * u)
            points_y.append(row)
            volumes.append(volume)
    x, y, volume = (np.stack(parts).astype(np.float32, copy=False) for parts in (points_x, points_y, volumes))
    return np.asarray(grid.deposit(x, y, volume))


def _clavicle(body: Body, side: Side, grid: Grid, rng: np.random.Generator) -> FloatArray:
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
    course = _spline(knots, 0.5 * grid.work_spacing)
    t = np.linspace(-1, 1, len(course), dtype=np.float32)
    height = s * (10.5 + 6 * np.clip(-t - 0.5, 0, 1) + 5 * np.clip(t - 0.6, 0, 1))
    return _sweep(grid, course, height, 0.95 * height, 2.1 * s)


def _humerus(body: Body, side: Side, x: FloatArray, y: FloatArray) -> FloatArray:
    """A tube of cortex with a spongy head."""
    s, sign, angle = body.scale, side.sign, side.abduction
    head = (sign * (side.shoulder[0] - 1 * s), side.shoulder[1] + 2 * s)
    neck = (head[0] + sign * 11 * s, head[1] + 20 * s)
    end = (neck[0] + sign * 260 * s * math.sin(angle), neck[1] + 260 * s * math.cos(angle))
    shaft = rod(x, y, neck, end, (13.5 * s, 10.5 * s)) - rod(x, y, neck, end, (10.5 * s, 6.0 * s))
    ball = ellipsoid(x, y, head, (23 * s, 23 * s, 23 * s))
    core = ellipsoid(x, y, head, (22 * s, 22 * s, 22 * s))
    return np.asarray(np.maximum(shaft, 0.9 * (ball - core) + 0.13 * core))


def _scapula(body: Body, side: Side, grid: Grid, rng: np.random.Generator) -> FloatArray:
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
        ([(out, middle - 17 * s), (out + 2 * s, middle), (out - 2 * s, middle + 17 * s)], 9, 16),
        ([(out - 12 * s, top + 6 * s), (out + 2 * s, top + 10 * s)], 11, 10),
    ]
    total = np.zeros(grid.work_size, np.float32)
    for knots, height, thickness in edges:
        course = _spline([(side.sign * x, y) for x, y in knots], 0.5 * grid.work_spacing)
        ones = np.ones(len(course), np.float32)
        total += _sweep(grid, course, height * s * ones, thickness * s * ones, 1.0 * s)
    return total


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
    bodies = inside * ((1 - disc) * (6.0 + 2.6 * plate) + disc * 0.6) + 2.0 * rim * (1 - disc)
    pedicle = np.hypot((side - 0.62) / 0.2, (centred + 0.14) / 0.2)
    ring = np.exp(-(((pedicle - 0.85) / 0.22) ** 2))
    spinous = np.exp(-((axis / (2.6 * s)) ** 2)) * np.exp(-(((centred - 0.28) / 0.22) ** 2))
    transverse = np.exp(-(((centred + 0.2) / 0.1) ** 2)) * (side > 0.8) * np.clip(2.1 - side, 0, 0.6)
    return np.asarray((s * (bodies + 4.2 * ring + 5.0 * spinous + 4.0 * transverse)).astype(np.float32))


def bone_paths(body: Body, grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Millimetres of cortex-equivalent bone on the work grid.

    Args:
        body: The patient.
        grid: The film.
        rng: Source of small differences between bones.
    """
    x, y = grid.patient_axes()
    total = _ribs(body, grid, rng) + _spine(body, x, y)
    for side in (body.right, body.left):
        total += (
            _clavicle(body, side, grid, rng) + _humerus(body, side, x, y) + _scapula(body, side, grid, rng)
        )
    return np.asarray(total)
