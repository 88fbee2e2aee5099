"""What people draw on a picture and systems burn into it: words, labels, arrows, boxes; never an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable

    from xiqa.types import FloatArray

__all__ = ["inscribe"]

Rng = np.random.Generator
Canvas = ImageDraw.ImageDraw

WORDS = ("L", "R", "AP", "PA", "PORTABLE", "SUPINE", "ERECT", "UPRIGHT", "SEMI-UPRIGHT", "BED", "ICU", "A",
         "B", "(C)", "Fig. 2", "Day 3", "12:45", "06.04.", "kV 120", "mAs 2.5", "1/2", "100%", "CHEST",
         "MOBILE", "Follow-up")  # fmt: skip


def inscribe(pixels: FloatArray, rng: Rng) -> FloatArray:
    """Draw one to four marks at random places, over the chest as well as beside it.

    Args:
        pixels: ``(H, W)`` grey values in [0, 1].
        rng: Source of every choice.

    Returns:
        The picture with marks on it.
    """
    page = Pillow.fromarray(np.round(255 * pixels).astype(np.uint8))
    canvas = ImageDraw.Draw(page)
    for _ in range(int(rng.integers(1, 5))):
        draw = DRAWN[int(rng.choice(len(DRAWN), p=WEIGHTS))]
        draw(canvas, page.size, rng)
    drawn = np.asarray(page, dtype=np.float32) / np.float32(255)
    changed = np.abs(drawn - pixels) > 1 / 255
    return np.where(changed, drawn, pixels)


def _ink(rng: Rng) -> int:
    """White, black or a grey."""
    return int(rng.choice([255, 255, 255, 0, 0, int(rng.integers(0, 256))]))


def _place(size: tuple[int, int], rng: Rng, *, margin: bool = False) -> tuple[float, float]:
    """Anywhere, or near an edge."""
    x, y = rng.uniform(0.02, 0.98, 2)
    if margin:
        side, near = int(rng.integers(4)), float(rng.uniform(0.01, 0.12))
        x, y = ((near, y), (1 - near, y), (x, near), (x, 1 - near))[side]
    return float(x * size[0]), float(y * size[1])


def _font(
    size: tuple[int, int], rng: Rng, largest: float = 0.07
) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=float(max(7.0, rng.uniform(0.015, largest) * size[1])))


def _words(canvas: Canvas, size: tuple[int, int], rng: Rng) -> None:
    """One to three lines of words, near an edge as a rule."""
    lines = "\n".join(str(rng.choice(WORDS)) for _ in range(int(rng.integers(1, 4))))
    place = _place(size, rng, margin=rng.random() < 0.7)
    canvas.multiline_text(place, lines, fill=_ink(rng), font=_font(size, rng), anchor="mm")


def _label(canvas: Canvas, size: tuple[int, int], rng: Rng) -> None:
    """Words in a filled box or a disc: a figure's letter, a sticker, a lead marker's copy."""
    place, word, font = _place(size, rng, margin=rng.random() < 0.6), str(rng.choice(WORDS)), _font(size, rng)
    left, top, right, bottom = canvas.textbbox(place, word, font=font, anchor="mm")
    pad = rng.uniform(2, 8)
    box = (left - pad, top - pad, right + pad, bottom + pad)
    paper = _ink(rng)
    shape = canvas.ellipse if rng.random() < 0.3 else canvas.rectangle
    shape(box, fill=paper if rng.random() < 0.8 else None, outline=_ink(rng), width=int(rng.integers(1, 3)))
    canvas.text(place, word, fill=255 if paper < 128 else 0, font=font, anchor="mm")


def _arrow(canvas: Canvas, size: tuple[int, int], rng: Rng) -> None:
    """An arrow with a filled head, or an arrowhead alone."""
    x, y = _place(size, rng)
    angle, head = rng.uniform(0, 2 * np.pi), rng.uniform(0.008, 0.03) * size[0]
    tail = rng.uniform(0, 0.16) * size[0]
    ahead = np.array([np.cos(angle), np.sin(angle)])
    beside = np.array([-ahead[1], ahead[0]])
    tip = np.array([x, y])
    ink = _ink(rng)
    if tail > head:
        start = tip - tail * ahead
        canvas.line([*start, *(tip - head * ahead)], fill=ink, width=int(rng.integers(1, 7)))
    broad = rng.uniform(0.35, 0.8)
    corners = [tip, tip - head * ahead + broad * head * beside, tip - head * ahead - broad * head * beside]
    canvas.polygon([(float(c[0]), float(c[1])) for c in corners], fill=ink)


def _outline(canvas: Canvas, size: tuple[int, int], rng: Rng) -> None:
    """A box or an ellipse around something."""
    x, y = _place(size, rng)
    half = rng.uniform(0.02, 0.2, 2) * size
    box = (x - half[0], y - half[1], x + half[0], y + half[1])
    shape = canvas.ellipse if rng.random() < 0.4 else canvas.rectangle
    shape(box, outline=_ink(rng), width=int(rng.integers(1, 5)))


def _ruler(canvas: Canvas, size: tuple[int, int], rng: Rng) -> None:
    """A measuring line with ticks, or the scale at the picture's edge."""
    x, y = _place(size, rng, margin=rng.random() < 0.6)
    long, ticks, ink = rng.uniform(0.1, 0.4) * size[1], int(rng.integers(2, 12)), _ink(rng)
    upright, tick = rng.random() < 0.6, rng.uniform(2, 8)
    for number in range(ticks + 1):
        along = long * (number / ticks - 0.5)
        start = (x - tick, y + along) if upright else (x + along, y - tick)
        end = (x + tick, y + along) if upright else (x + along, y + tick)
        canvas.line([*start, *end], fill=ink, width=1)
    ends = (x, y - long / 2, x, y + long / 2) if upright else (x - long / 2, y, x + long / 2, y)
    canvas.line(ends, fill=ink, width=int(rng.integers(1, 3)))


DRAWN: tuple[Callable[[Canvas, tuple[int, int], Rng], None], ...] = (_words, _label, _arrow, _outline, _ruler)
WEIGHTS = (0.3, 0.25, 0.2, 0.15, 0.1)
