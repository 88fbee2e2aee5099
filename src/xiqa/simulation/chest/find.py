"""Where the chest lies on an image that comes without anatomy: a matched filter of lung-shaped templates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from PIL import Image as Pillow
from scipy.ndimage import binary_dilation, generate_binary_structure

from xiqa.simulation.chest.grid import smooth
from xiqa.simulation.chest.landmarks import Landmarks, landmarks_of
from xiqa.types import FloatArray, Image, MaskArray

__all__ = ["FIELD", "find_chest"]

# An image without a pixel spacing shows about this many millimetres along its shorter side.
FIELD = 380.0
EDGE = 48


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """Pairs of lungs of many shapes.

    Attributes:
        lungs: ``(n, EDGE, EDGE)`` masks.
        weights: ``(n, EDGE * EDGE)``; the product with an image is how much darker the lungs are than the
            rim.
    """

    lungs: MaskArray
    weights: FloatArray


@cache
def _templates() -> Templates:
    y, x = (np.mgrid[0:EDGE, 0:EDGE] / (EDGE - 1)).astype(np.float32)
    shapes = product(
        (-0.08, -0.04, 0.0, 0.04, 0.08),  # of the midline from the image's middle
        (0.28, 0.32, 0.36, 0.40, 0.44),  # half the chest's width
        (0.04, 0.09, 0.14, 0.20, 0.26),  # top
        (0.58, 0.66, 0.74, 0.82, 0.90),  # bottom
    )
    lungs = np.stack(
        [
            _pair(x - 0.5 - shift, y, half, top, bottom)
            for shift, half, top, bottom in shapes
            if bottom - top > 1.05 * half
        ]
    )
    cross = np.zeros((3, 3, 3), bool)
    cross[1] = generate_binary_structure(2, 1)
    near = binary_dilation(lungs, cross)
    rim = binary_dilation(near, cross, iterations=3) & ~near
    inner, outer = (mask.sum((1, 2), keepdims=True, dtype=np.float32) for mask in (lungs, rim))
    weights = (rim / outer - lungs / inner) * inner**0.25
    return Templates(lungs, weights.reshape(len(lungs), -1).astype(np.float32))


def _pair(across: FloatArray, y: FloatArray, half: float, top: float, bottom: float) -> MaskArray:
    """Two lungs: domes above, slanted inner borders, the left one slimmer below for the heart."""
    down = (y - top) / (bottom - top)
    inside = (down > 0) & (down < 1)
    outer = half * np.sqrt(np.clip(1 - np.clip(1 - down / 0.75, 0, 1) ** 2.6, 0, 1))
    outer = np.maximum(outer, 0.0)
    heart = np.clip((down - 0.45) / 0.4, 0, 1)
    right = (across < -half * (0.17 + 0.10 * heart)) & (across > -outer)
    left = (across > half * (0.17 + 0.34 * heart)) & (across < outer)
    return np.asarray(inside & (right | left))


def find_chest(image: Image) -> Landmarks:
    """Estimate where the chest lies on a frontal radiograph.

    The template whose lungs are darkest against their rim wins.

    Args:
        image: A grey frontal radiograph, upright, bones bright.

    Returns:
        Its landmarks; good to a few per cent of the width.
    """
    templates = _templates()
    coarse = Pillow.fromarray(image.pixels).resize((EDGE, EDGE), Pillow.Resampling.BOX)
    seen = np.asarray(coarse, np.float32)
    if image.mask is not None:
        seen = np.where(np.asarray(Pillow.fromarray(image.mask).resize((EDGE, EDGE))), seen, np.median(seen))
    seen = np.maximum(seen, np.quantile(seen, 0.1))  # air beside the patient is no lung
    lungs = templates.lungs[int(np.argmax(templates.weights @ seen.ravel()))]
    # what lies between the outermost lung pixels of a row is chest
    ahead, behind = np.maximum.accumulate(lungs, 1), np.maximum.accumulate(lungs[:, ::-1], 1)[:, ::-1]
    chest = binary_dilation(ahead & behind, iterations=3)  # with its wall, and down to the lungs' corners
    rows, columns = image.size
    index = np.ix_(np.arange(rows) * EDGE // rows, np.arange(columns) * EDGE // columns)
    body = smooth(image.pixels, 0.01 * min(image.size)) > 0.08
    spacing = image.spacing[0] if image.spacing else FIELD / min(image.size)
    return landmarks_of(chest[index], lungs[index], body, spacing)
