r"""Pictures of an image and of its saliency map, for people.

A map is scaled *for display only*: :math:`v = \sqrt{\max(M, 0) / \max_u M_u}`; the root makes small places
visible. Colour and opacity both rise with :math:`v`, so the image stays visible where the map is low. The
colours are ``inferno``: perceptually uniform, rising in lightness, and legible with every kind of colour
vision. Boxes and peaks are drawn as a light line inside a dark one, which shows on bright and on dark ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from xiqa.geometry import Box
from xiqa.imaging.blocks import blockwise
from xiqa.saliency.placing import on_picture
from xiqa.types import Finding, FloatArray, Image, SaliencyMap

__all__ = [
    "bounded_size",
    "drawn_box",
    "heat_picture",
    "map_picture",
    "overlay_picture",
    "picture_of",
]

Bytes = NDArray[np.uint8]

OPACITY = 0.8
# A box is drawn at least this wide and high, as a part of the image's longer side.
SMALLEST = 0.04
# matplotlib's ``inferno`` (CC0) at 17 places; what lies between is linear to within 7 of 255.
INFERNO = (
    "000004 0b0724 210c4a 3d0965 57106e 71196e 8a226a a32c61 bc3754 "
    "d24644 e45a31 f1731d f98e09 fcac11 f9cb35 f2ea69 fcffa4"
)
LIGHT, DARK = (120, 240, 255), (10, 20, 40)


def bounded_size(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(rows, columns) with the same shape and at most ``long_side`` pixels on the longer side.

    >>> bounded_size((3000, 2000), 1500), bounded_size((64, 48), 1500)
    ((1500, 1000), (64, 48))
    """
    factor = min(1.0, long_side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def picture_of(image: Image, long_side: int) -> Pillow.Image:
    """The image in 8 bits, grey or RGB, in display order."""
    pixels = blockwise(_eight_bits, image.pixels, np.dtype(np.uint8))
    rows, columns = bounded_size(image.size, long_side)
    picture = Pillow.fromarray(pixels)
    if (rows, columns) == image.size:
        return picture
    return picture.resize((columns, rows), Pillow.Resampling.BOX, reducing_gap=2.0)


def _eight_bits(values: NDArray[Any], out: NDArray[Any]) -> None:
    """Values in [0, 1] as bytes, rounded; what is no number is black."""
    scaled = values * np.float32(255)
    scaled += np.float32(0.5)
    np.nan_to_num(scaled, copy=False)
    out[...] = np.clip(scaled, 0, 255, out=scaled)


def for_display(values: FloatArray) -> FloatArray:
    """The root of the positive part over its maximum; zero for a map without a finite maximum above zero."""
    positive = np.maximum(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), 0.0)
    top = float(positive.max(initial=0.0))
    return cast(
        "FloatArray", np.sqrt(positive / top if top > 0 else np.zeros_like(positive)).astype(np.float32)
    )


@cache
def palette() -> Bytes:
    """256 RGBA colours, from transparent black to nearly opaque light yellow."""
    value = np.linspace(0.0, 1.0, 256)
    known = np.array([list(bytes.fromhex(colour)) for colour in INFERNO.split()], dtype=float)
    at = np.linspace(0.0, 1.0, len(known))
    channels = [np.interp(value, at, known[:, channel]) for channel in range(3)]
    return (np.stack([*channels, 255 * OPACITY * value], axis=1) + 0.5).astype(np.uint8)


def heat_picture(saliency: SaliencyMap, original: tuple[int, int], long_side: int) -> Pillow.Image:
    """The map as a transparent RGBA picture with the shape of the original image.

    Args:
        saliency: The map.
        original: (rows, columns) of the original image.
        long_side: Bound of the picture's longer side in pixels.
    """
    placed = on_picture(saliency, original, bounded_size(original, long_side))
    return Pillow.fromarray(palette()[(for_display(placed) * 255 + 0.5).astype(np.uint8)])


def map_picture(saliency: SaliencyMap, original: tuple[int, int], long_side: int) -> Pillow.Image:
    """The map as a grey picture, scaled for display, for whoever colours it later.

    Args:
        saliency: The map.
        original: (rows, columns) of the original image.
        long_side: Bound of the picture's longer side in pixels.
    """
    placed = on_picture(saliency, original, bounded_size(original, long_side))
    return Pillow.fromarray((for_display(placed) * 255 + 0.5).astype(np.uint8))


def overlay_picture(
    image: Image, saliency: SaliencyMap | None, findings: Sequence[Finding] = (), long_side: int = 1600
) -> Pillow.Image:
    """The image with its map laid over it and its findings drawn, as RGB.

    Args:
        image: The original image.
        saliency: Its map; without one only the findings are drawn.
        findings: Boxes and peaks in original pixels.
        long_side: Bound of the picture's longer side in pixels.
    """
    picture = picture_of(image, long_side).convert("RGB")
    if saliency is not None:
        heat = heat_picture(saliency, image.size, long_side)
        picture.paste(heat, (0, 0), heat)
    draw_findings(picture, image.size, findings)
    return picture


def drawn_box(finding: Finding, original: tuple[int, int]) -> Box:
    """The finding's box as it is drawn: a tiny one widened around its middle, so that its content shows."""
    least = SMALLEST * max(original)
    (x, y), box = finding.box.centre, finding.box
    across, down = max(box.width, least) / 2, max(box.height, least) / 2
    return Box(x - across + 0.5, y - down + 0.5, x + across - 0.5, y + down - 0.5)


def draw_findings(picture: Pillow.Image, original: tuple[int, int], findings: Sequence[Finding]) -> None:
    """Draw boxes and peak crosses of findings, told in original pixels, onto a picture of the whole image."""
    scale = np.array([picture.width / original[1], picture.height / original[0]])
    line = max(1, round(max(picture.size) / 500))
    arm = 3 * line
    draw = ImageDraw.Draw(picture)
    for finding in findings:
        box = drawn_box(finding, original)
        # a pixel's area reaches half a pixel beyond its centre; lines run along whole pixels
        x0, y0 = np.rint(np.array(box[:2]) * scale)
        x1, y1 = np.rint((np.array(box[2:]) + 1) * scale)
        x, y = (np.array(finding.peak) + 0.5) * scale
        for colour, grow in ((DARK, line), (LIGHT, 0)):
            out, width = line + grow, line + 2 * grow
            edges = (x0 - out, y0 - out, x1 + out - 1, y1 + out - 1)  # the last pixel is drawn too
            draw.rectangle(edges, outline=colour, width=width)
            draw.line((x - arm - grow, y, x + arm + grow, y), fill=colour, width=width)
            draw.line((x, y - arm - grow, x, y + arm + grow), fill=colour, width=width)
