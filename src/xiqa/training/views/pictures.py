"""Thumbnails of every view: frontal images as another scanner would give them, turned, or replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import affine_transform

from xiqa.geometry import Frame
from xiqa.models.views.check import VIEWS
from xiqa.training.inscriptions import inscribe
from xiqa.training.scanner import change_scanner
from xiqa.training.views.bodies import body, junk, lateral_chest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xiqa.types import FloatArray

__all__ = ["SHARES", "draw_view", "thumbnail"]

Rng = np.random.Generator

SHARES = (0.30, 0.12, 0.15, 0.15, 0.13, 0.15)
"""How often each of the views is drawn."""

SCANNER, INSCRIBED = 0.8, 0.25  # how often a step is another scanner's, and a picture bears marks


def draw_view(
    view: str, frontals: Sequence[FloatArray], photographs: Sequence[FloatArray], side: int, rng: Rng
) -> FloatArray:
    """One picture of a view as a thumbnail.

    Args:
        view: One of `VIEWS`.
        frontals: Upright frontal images in grey, small (256 pixels will do).
        photographs: Pictures of other things, in grey.
        side: Pixels of the thumbnail.
        rng: Source of every choice.

    Returns:
        ``(side, side)`` grey values in [0, 1].
    """
    frontal = frontals[int(rng.integers(len(frontals)))]
    if view == "lateral":
        pixels = lateral_chest(rng) if rng.random() < 0.75 else _half(frontal, rng)
        pixels = _scanned(_moved(pixels, rng, 12), rng)
    elif view == "other":
        pixels = _scanned(_other(frontal, photographs, rng), rng)
    else:
        pixels = _placed(view, _frontal(frontal, rng), rng)
    return thumbnail(pixels, side)


def thumbnail(pixels: FloatArray, side: int) -> FloatArray:
    """A picture in the middle of a black square."""
    return Frame.letterbox(original=(pixels.shape[0], pixels.shape[1]), model=(side, side)).image_to_model(
        np.ascontiguousarray(pixels, dtype=np.float32)
    )


def _placed(view: str, pixels: FloatArray, rng: Rng) -> FloatArray:
    """A frontal picture as a view has it; turned ones also in the mirror."""
    if view == VIEWS[0]:
        return pixels
    if view == "inverted":
        return 1 - pixels
    mirrored = pixels[:, :: rng.choice([-1, 1])]
    return mirrored[::-1] if view == "upside_down" else np.rot90(mirrored, rng.choice([1, 3]))


def _frontal(pixels: FloatArray, rng: Rng) -> FloatArray:
    """A frontal picture, mirrored or not, cut closer at one side or not, of another scanner."""
    pixels = pixels[:, :: rng.choice([-1, 1])]
    if rng.random() < 0.25:
        rows, columns = pixels.shape
        cut = round(rng.uniform(0.03, 0.2) * min(rows, columns))
        closer = pixels[cut:], pixels[: rows - cut], pixels[:, cut:], pixels[:, : columns - cut]
        pixels = closer[rng.integers(4)]
    return _scanned(_moved(pixels, rng, 10), rng)


def _moved(pixels: FloatArray, rng: Rng, degrees: float) -> FloatArray:
    """Turned, nearer or farther, squashed, shifted; outside black, or what the corner is."""
    angle, zoom = np.deg2rad(rng.uniform(-degrees, degrees)), np.exp(rng.uniform(-0.22, 0.16))
    squash, shift = np.exp(rng.uniform(-0.12, 0.12)), rng.uniform(-0.07, 0.07, 2) * pixels.shape
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([zoom * squash, zoom / squash])
    centre = (np.array(pixels.shape) - 1) / 2
    outside = float(rng.choice([0.0, 0.0, pixels[0, 0]]))
    moved = affine_transform(pixels, matrix, centre - matrix @ (centre + shift), order=1, cval=outside)
    return np.asarray(moved, dtype=np.float32)


def _scanned(pixels: FloatArray, rng: Rng) -> FloatArray:
    """Of another gamma and another scanner, sometimes with marks."""
    gamma = np.float32(np.exp(rng.uniform(-0.5, 0.5)))
    changed = change_scanner(np.clip(pixels, 0, 1).astype(np.float32) ** gamma, rng, SCANNER)
    return inscribe(changed, rng) if rng.random() < INSCRIBED else changed


def _half(pixels: FloatArray, rng: Rng) -> FloatArray:
    """One half of a frontal picture: a single lung, as a side view shows, with a true scanner's texture."""
    middle = round(pixels.shape[1] * rng.uniform(0.47, 0.53))
    half = pixels[:, :middle] if rng.random() < 0.5 else pixels[:, middle:]
    return np.repeat(half, 2, axis=1)[:, :: int(rng.integers(1, 3))]


def _other(frontal: FloatArray, photographs: Sequence[FloatArray], rng: Rng) -> FloatArray:
    """Something else: a body part, no body, a photograph, or parts of a chest without their order."""
    kind = rng.random()
    if kind < 0.4:
        return _moved(body(rng), rng, 180)
    if kind < 0.6 or not photographs:
        return junk(rng)
    if kind < 0.8:
        return _detail(photographs[int(rng.integers(len(photographs)))], rng)
    return _moved(_part(frontal, rng), rng, 5)


def _detail(pixels: FloatArray, rng: Rng) -> FloatArray:
    """A part of a photograph, turned any way."""
    rows, columns = pixels.shape
    share = rng.uniform(0.4, 1)
    tall, broad = round(rows * share), round(columns * share * rng.uniform(0.7, 1))
    top, left = rng.integers(0, rows - tall + 1), rng.integers(0, columns - broad + 1)
    detail = pixels[top : top + tall, left : left + broad]
    turned = np.rot90(detail[:, :: rng.choice([-1, 1])], int(rng.integers(4)))
    return np.asarray(turned, dtype=np.float32)


def _part(pixels: FloatArray, rng: Rng) -> FloatArray:
    """A small detail of a chest, its quarters in another order, what lies below the lungs or above them."""
    rows, columns = pixels.shape
    kind = rng.integers(4)
    if kind == 0:
        share = rng.uniform(0.2, 0.42)
        top, left = (round(rng.uniform(0, 1 - share) * side) for side in (rows, columns))
        return pixels[top : top + round(share * rows), left : left + round(share * columns)]
    if kind == 1:
        tall, broad = rows // 2, columns // 2
        quarters = [pixels[y : y + tall, x : x + broad] for y in (0, tall) for x in (0, broad)]
        order = rng.permutation(4)
        if (order == np.arange(4)).all():
            order = order[::-1]
        a, b, c, d = (quarters[place] for place in order)
        return np.block([[a, b], [c, d]])
    if kind == 2:
        return pixels[round(rows * rng.uniform(0.55, 0.65)) :]
    return pixels[: round(rows * rng.uniform(0.15, 0.33))]
