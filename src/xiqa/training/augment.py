"""Random changes to an image and its boxes, drawn from a generator that the caller seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from xiqa.geometry import Box
from xiqa.training.inscriptions import inscribe
from xiqa.training.scanner import change_scanner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xiqa.training.recipe import Augmentation
    from xiqa.types import FloatArray

__all__ = ["affine_boxes", "affine_matrix", "augment", "warp"]

Matrix = NDArray[np.float64]


def affine_matrix(
    source: tuple[int, int], size: tuple[int, int], options: Augmentation | None, rng: np.random.Generator
) -> Matrix:
    r"""A random map from output pixels to source pixels.

    .. math:: p_\text{source} = c_\text{source} + s\,R(\theta)\,S\,F\,(p_\text{out} - c_\text{out}) + t

    Args:
        source: (rows, columns) of the source.
        size: (rows, columns) of the output.
        options: Ranges of rotation, size, shift, shear and mirroring; None: only the resize.
        rng: The generator.

    Returns:
        ``(2, 3)`` matrix on (x, y, 1).
    """
    fit = np.array([source[1] / size[1], source[0] / size[0]])
    angle, zoom, shift, mirror, upside_down, shear = 0.0, 1.0, np.zeros(2), False, False, 0.0
    if options is not None:
        angle = np.deg2rad(rng.uniform(-options.rotate, options.rotate))
        zoom = np.exp(rng.uniform(-1, 1) * np.log1p(options.scale))
        shift = rng.uniform(-options.translate, options.translate, 2) * (source[1], source[0])
        mirror = rng.random() < options.flip
        if options.flip_vertical:
            upside_down = rng.random() < options.flip_vertical
        if options.shear:
            shear = np.tan(np.deg2rad(rng.uniform(-options.shear, options.shear)))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sheared = rotation @ np.array([[1.0, shear], [0.0, 1.0]])
    linear = zoom * sheared @ np.diag(fit * (-1 if mirror else 1, -1 if upside_down else 1))
    centre_out = (np.array([size[1], size[0]]) - 1) / 2
    centre_source = (np.array([source[1], source[0]]) - 1) / 2
    offset = centre_source + shift - linear @ centre_out
    return np.column_stack((linear, offset))


def warp(pixels: FloatArray, matrix: Matrix, size: tuple[int, int]) -> FloatArray:
    """Sample ``(H, W)`` pixels at an affine map's places, bilinearly; black outside.

    >>> identity = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    >>> pixels = np.arange(6, dtype=np.float32).reshape(2, 3)
    >>> np.allclose(warp(pixels, identity, (2, 3)), pixels, atol=1e-5)
    True
    """
    rows, columns = pixels.shape
    # torch counts places from -1 to 1 between the outer edges of the first and last pixel
    to_unit = np.array([[2 / columns, 0, 1 / columns - 1], [0, 2 / rows, 1 / rows - 1], [0, 0, 1]])
    from_unit = np.array(
        [[size[1] / 2, 0, (size[1] - 1) / 2], [0, size[0] / 2, (size[0] - 1) / 2], [0, 0, 1]]
    )
    unit = (to_unit @ np.vstack((matrix, [0, 0, 1])) @ from_unit)[:2]
    grid = F.affine_grid(torch.from_numpy(unit).float()[None], [1, 1, *size], align_corners=False)
    sampled = F.grid_sample(torch.from_numpy(pixels)[None, None], grid, align_corners=False)
    return np.asarray(sampled[0, 0].numpy(), dtype=np.float32)


def affine_boxes(boxes: Sequence[Box], matrix: Matrix) -> list[Box]:
    """The upright boxes around source boxes as they lie in the output."""
    linear, offset = matrix[:, :2], matrix[:, 2]
    moved = []
    for box in boxes:
        corners = np.array([(x, y) for x in (box.x0, box.x1) for y in (box.y0, box.y1)])
        out = np.linalg.solve(linear, (corners - offset).T)
        moved.append(Box(*map(float, (*out.min(axis=1), *out.max(axis=1)))))
    return moved


def augment(pixels: FloatArray, options: Augmentation, rng: np.random.Generator) -> FloatArray:
    r"""Random gamma, contrast, brightness and noise, clipped to [0, 1]; then another scanner, and marks.

    .. math:: v' = (v^{\gamma} - \tfrac12)\,a + \tfrac12 + b + \sigma n

    Args:
        pixels: Grey values in [0, 1].
        options: The ranges.
        rng: The generator.

    Returns:
        The changed grey values.
    """
    spread = np.log1p(options.contrast)
    gamma, gain = np.exp(rng.uniform(-spread, spread, 2))
    shift = rng.uniform(-options.brightness, options.brightness)
    sigma = rng.uniform(0, options.noise)
    changed = (np.power(pixels, np.float32(gamma)) - 0.5) * np.float32(gain) + np.float32(0.5 + shift)
    changed += np.float32(sigma) * rng.standard_normal(pixels.shape, dtype=np.float32)
    result: FloatArray = np.clip(changed, 0, 1).astype(np.float32)
    if options.scanner:
        result = change_scanner(result, rng, options.scanner)
    if options.inscribed and rng.random() < options.inscribed:
        result = inscribe(result, rng)
    return result
