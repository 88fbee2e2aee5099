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
    with Pillow.open(io.BytesIO(content)) as picture:
        longest = max(picture.size)
        sides = (longest, *(side for side in SIDES if side < longest))
        # at a quality of 75 a picture takes about half: sides that are far too large are not worth a try
        likely = [side for side in sides if 0.5 * len(content) * (side / longest) ** 2 <= budget]
        if likely:
            picture.draft(picture.mode, (likely[0], likely[0]))
        for side in likely:  # falling, so each comes from the one before
            picture.thumbnail((side, side), Pillow.Resampling.BOX)
            smaller = jpeg(picture, 75)
            if len(smaller) <= budget:
                return smaller
    return None


def data_uri(content: bytes) -> str:
    """A JPEG file as an address that holds it."""
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")
