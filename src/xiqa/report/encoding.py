"""Pictures as bytes for a screen.

A grey JPEG takes a twentieth of WebP's time, and its half and quarter sizes are decoded without the whole.
"""

from __future__ import annotations

import base64
import io

from PIL import Image as Pillow

__all__ = ["data_uri", "fitted", "jpeg", "webp"]

SIDES = (1536, 1024, 768, 640, 512, 384, 256, 128)


def webp(picture: Pillow.Image) -> bytes:
    """The picture as WebP, which keeps transparency."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=82, method=2)
    return buffer.getvalue()


def jpeg(picture: Pillow.Image, quality: int = 85) -> bytes:
    """The picture as JPEG, grey or RGB."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def fitted(content: bytes, budget: int) -> bytes | None:
    """A JPEG file as it is, or made smaller until it takes at most ``budget`` bytes; None if nothing does."""
    if len(content) <= budget:
        return content
    longest = max(Pillow.open(io.BytesIO(content)).size)
    for side in (longest, *(side for side in SIDES if side < longest)):
        if len(content) * (side / longest) ** 2 > 3 * budget:
            continue  # far too large still: not worth the try
        with Pillow.open(io.BytesIO(content)) as picture:
            picture.draft(picture.mode, (side, side))
            picture.thumbnail((side, side), Pillow.Resampling.BOX)
            smaller = jpeg(picture, 75)
        if len(smaller) <= budget:
            return smaller
    return None


def data_uri(content: bytes) -> str:
    """A JPEG file as an address that holds it."""
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")
