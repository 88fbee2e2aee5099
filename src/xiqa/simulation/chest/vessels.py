"""The lungs' vessels: two trees that fork from each hilum and thin out towards the pleura."""

from __future__ import annotations

import numpy as np

from xiqa.simulation.chest.body import Body, Side
from xiqa.simulation.chest.grid import Grid
from xiqa.types import FloatArray

__all__ = ["vessel_paths"]

LEVELS = 7


def _tree(rng: np.random.Generator, sign: int, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, ends ``(n, 2)`` and radii ``(n,)`` of the branches, hilum at the origin, level by level."""
    stems = 9
    angle = np.linspace(-1.15, 1.35, stems) + rng.normal(0, 0.12, stems)  # from upwards to downwards
    start = np.stack([rng.uniform(-4, 6, stems), np.linspace(-16, 22, stems)], 1) * scale
    radius = rng.uniform(2.2, 3.4, stems) * scale * np.where(angle > 0.5, 1.15, 0.9)
    length = rng.uniform(24, 36, stems) * scale
    depth = rng.normal(0, 0.5, stems)  # out-of-plane part foreshortens a branch
    starts, ends, radii = [], [], []
    for _ in range(LEVELS):
        reach = length * np.sqrt(np.maximum(1 - np.sin(depth) ** 2, 0.05))
        end = start + reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        starts.append(start)
        ends.append(end)
        radii.append(radius)
        # Murray's law: the cubes of the daughters' radii add up to the mother's
        share = rng.uniform(0.3, 0.7, len(radius))
        fork = rng.uniform(0.25, 0.75, len(radius))
        angle = np.concatenate([angle + fork * (1 - share), angle - fork * share])
        angle += rng.normal(0, 0.12, angle.shape)
        depth = np.concatenate([depth, depth]) + rng.normal(0, 0.35, angle.shape)
        radius = np.concatenate([radius * np.cbrt(share), radius * np.cbrt(1 - share)])
        length = np.concatenate([length, length]) * rng.uniform(0.62, 0.95, angle.shape)
        start = np.concatenate([end, end])
    points = [np.concatenate(parts) for parts in (starts, ends)]
    for part in points:
        part[:, 0] *= sign
    return points[0], points[1], np.concatenate(radii)


def _lay(grid: Grid, start: np.ndarray, end: np.ndarray, radius: np.ndarray) -> FloatArray:
    """Project round branches: every one as points along a few lines beside its axis."""
    step = 0.9 * grid.work_spacing
    start, end, radius = (part.astype(np.float32) for part in (start, end, radius))
    along = end - start
    length = np.hypot(along[:, 0], along[:, 1]) + 1e-6
    lanes = np.clip(np.ceil(2 * radius / step), 1, 12).astype(int)
    counts = np.maximum(np.ceil(length / step), 2).astype(int)
    branch = np.repeat(np.arange(len(radius)), counts * lanes)
    first = np.cumsum(counts * lanes) - counts * lanes
    order = np.arange(len(branch)) - first[branch]
    rank, lane = np.divmod(order, lanes[branch])
    t = ((rank + 0.5) / counts[branch]).astype(np.float32)
    u = ((lane + 0.5) / lanes[branch] * 2 - 1).astype(np.float32)
    bow = 0.10 * np.sin(np.pi * t) * np.where(branch % 2, 1, -1)
    across = u * radius[branch] / length[branch] + bow
    x = start[branch, 0] + t * along[branch, 0] - across * along[branch, 1]
    y = start[branch, 1] + t * along[branch, 1] + across * along[branch, 0]
    chord = np.sqrt(1 - u * u)
    # the chords of the lanes keep the section's area, pi r^2
    mean_chord = np.array(
        [np.sqrt(1 - (((np.arange(n) + 0.5) / n) * 2 - 1) ** 2).mean() for n in range(1, 13)]
    )
    volume = np.pi * radius**2 * length / (counts * lanes)
    weight = volume[branch] * chord / mean_chord[lanes[branch] - 1]
    return grid.deposit(x.astype(np.float32), y.astype(np.float32), weight.astype(np.float32))


def hilum(body: Body, side: Side) -> tuple[float, float]:
    """Where the vessels enter the lung, in patient millimetres."""
    s = body.scale
    return side.sign * 31 * s + body.turn, body.apex + (112 if side.sign < 0 else 104) * s


def vessel_paths(body: Body, grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Millimetres of blood on the work grid; where there is no lung it must be masked off.

    Args:
        body: The patient.
        grid: The image.
        rng: Source of the trees.
    """
    total = np.zeros(grid.work_size, np.float32)
    for side in (body.right, body.left):
        start, end, radius = _tree(rng, side.sign, body.scale)
        origin = np.array(hilum(body, side))
        total += _lay(grid, start + origin, end + origin, radius)
    return total
