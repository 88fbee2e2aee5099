"""The side marker and the words that a console burns in; part of every image, no foreign object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from xiqa.simulation.chest.pen import Part
from xiqa.types import FloatArray

__all__ = ["Marker", "draw_marker"]


@dataclass(frozen=True, slots=True, eq=False)
class Marker:
    """Letters on an image.

    Attributes:
        ink: ``(H, W)`` from 0 (image) to 1 (white).
        parts: Every word's own pixels.
        place: Middle of the side marker, image pixels (x, y).
    """

    ink: FloatArray
    parts: tuple[Part, ...]
    place: tuple[float, float]


def _stamp(text: str, height: float, turn: float, *, circle: bool = False) -> FloatArray:
    """A word as ink, upright letters ``height`` pixels tall, turned by degrees."""
    font = ImageFont.load_default(size=max(height * 1.35, 6))
    left, top, right, bottom = font.getbbox(text)
    width, tall = int(right - left), int(bottom - top)
    pad = int(0.8 * tall) + 2
    canvas = Pillow.new("L", (width + 2 * pad, tall + 2 * pad), 0)
    pen = ImageDraw.Draw(canvas)
    pen.text((pad - left, pad - top), text, fill=255, font=font, stroke_width=1 if height > 12 else 0)
    if circle:
        radius = 0.85 * max(width, tall)
        middle = (width / 2 + pad, tall / 2 + pad)
        box = (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius)
        pen.ellipse(box, outline=255, width=max(1, round(height / 10)))
    return np.asarray(canvas.rotate(turn, Pillow.Resampling.BICUBIC, expand=True), np.float32) * np.float32(
        1 / 255
    )


def _lay(ink: FloatArray, stamp: FloatArray, x: float, y: float) -> Part:
    """Lay a stamp with its middle at (x, y), as far as it is on the image."""
    top, left = round(y - stamp.shape[0] / 2), round(x - stamp.shape[1] / 2)
    rows = slice(max(top, 0), max(min(top + stamp.shape[0], ink.shape[0]), 0))
    columns = slice(max(left, 0), max(min(left + stamp.shape[1], ink.shape[1]), 0))
    part = stamp[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    np.maximum(ink[rows, columns], part, out=ink[rows, columns])
    mask = np.zeros(ink.shape, bool)
    mask[rows, columns] = part > 0.5
    return Part("marker", mask, (rows, columns))


def draw_marker(size: tuple[int, int], portable: bool, rng: np.random.Generator) -> Marker:
    """A lead letter or a burned-in circle in an upper corner; words on portable images.

    Args:
        size: Rows and columns of the image.
        portable: Bedside radiographs say so.
        rng: Source of place and kind.
    """
    rows, columns = size
    stamps: list[tuple[FloatArray, float, float]] = []
    left = bool(rng.random() < 0.7)
    x = columns * (rng.uniform(0.86, 0.95) if left else rng.uniform(0.05, 0.14))
    y = rows * rng.uniform(0.04, 0.16)
    letter, height = "L" if left else "R", rng.uniform(0.028, 0.042) * rows
    style = rng.random()
    if style < 0.35:
        stamps.append((_stamp(letter, 0.7 * height, 0, circle=True), x, y))
    else:
        turn = rng.normal(0, 10) if rng.random() < 0.75 else rng.choice([90, -90, 45])
        stamps.append((_stamp(letter, height, float(turn)), x, y))
        if rng.random() < 0.6:  # the technologist's initials
            initials = "".join(rng.choice(list("ABCDEGHJKLMRSTVW"), rng.integers(2, 4)))
            angle = np.deg2rad(turn)
            below = (x + 1.5 * height * np.sin(angle), y + 1.5 * height * np.cos(angle))
            stamps.append((_stamp(initials, 0.55 * height, float(turn)), *below))
    if portable and rng.random() < 0.7:
        words = ["AP", "PORTABLE"] + (["SUPINE"] if rng.random() < 0.3 else [])
        start = rows * rng.uniform(0.12, 0.35)
        for k, word in enumerate(words):
            at = (columns * (0.93 if left else 0.07), start + 0.08 * rows * k)
            stamps.append((_stamp(word, 0.014 * rows, 0), *at))
    ink = np.zeros(size, np.float32)
    parts = tuple(_lay(ink, *stamp) for stamp in stamps)
    return Marker(ink=ink, parts=parts, place=(float(x), float(y)))
