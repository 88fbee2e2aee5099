"""Where things belong on an image: the places that objects and devices are put by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

from xiqa.types import MaskArray

__all__ = ["Landmarks", "landmarks_of"]


# Places are looked for on every so many pixels.
STRIDE = 6


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """A chest on an image, in image pixels.

    Attributes:
        chest: Pixels over lungs or mediastinum, above the diaphragm; what counts as thorax.
        lungs: Pixels over the lungs alone.
        body: Pixels over the patient.
        spacing: Millimetres a pixel.
        midline: Column of the breastbone.
        top: Row of the lungs' tops.
        bottom: Row of the diaphragm.
        left: Column of the chest's border in the image's left half.
        right: Column of its border in the image's right half.
    """

    chest: MaskArray
    lungs: MaskArray
    body: MaskArray
    spacing: float
    midline: float
    top: float
    bottom: float
    left: float
    right: float

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        rows, columns = self.chest.shape
        return rows, columns

    def at(self, across: float, down: float) -> tuple[float, float]:
        """Image pixel of a place told relative to the chest.

        Args:
            across: -1 at the left border in the image, 0 at the midline, 1 at the right border.
            down: 0 at the lungs' tops, 1 at the diaphragm.
        """
        half = self.right - self.midline if across > 0 else self.midline - self.left
        return self.midline + across * half, self.top + down * (self.bottom - self.top)

    def region(self, place: str) -> MaskArray:
        """Pixels where the middle of an object may lie for a place of the scenario grid."""
        coarse = (slice(None, None, STRIDE), slice(None, None, STRIDE))
        rim = max(1, round(9 / self.spacing / STRIDE))
        chest, lungs, body = self.chest[coarse], self.lungs[coarse], self.body[coarse]
        if place == "lung":
            region = binary_erosion(lungs, iterations=rim)
        elif place == "heart":
            region = binary_erosion(chest & ~lungs, iterations=max(1, rim // 2))
            corners = np.array([self.at(-0.3, 0.45), self.at(0.6, 0.95)])
            (left, top), (right, bottom) = np.maximum(corners / STRIDE, 0).astype(int)
            region[:top] = region[bottom + 1 :] = False
            region[:, :left] = region[:, right + 1 :] = False
        elif place == "edge":
            region = binary_dilation(chest, iterations=1) & ~binary_erosion(chest, iterations=rim)
        elif place == "outside":
            region = ~binary_dilation(chest, iterations=3 * rim)
            near = binary_dilation(body, iterations=2 * rim) if body.any() else region
            region &= near
        else:
            region = binary_erosion(chest, iterations=rim)
        full = np.zeros(self.size, bool)
        full[coarse] = region
        return full


def landmarks_of(chest: MaskArray, lungs: MaskArray, body: MaskArray, spacing: float) -> Landmarks:
    """Read the landmarks off masks."""
    seen = lungs if lungs.any() else chest
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if not rows.size:  # no chest in view: the image's middle stands for it
        rows, columns = (np.arange(round(0.2 * n), round(0.8 * n)) for n in chest.shape)
    middle = slice(int(rows[0] + 0.3 * len(rows)), int(rows[0] + 0.6 * len(rows)) + 1)
    gap = ~lungs[middle] & chest[middle]
    inner = np.flatnonzero(gap.mean(0) > 0.7) if gap.size else columns
    return Landmarks(
        chest=chest,
        lungs=lungs,
        body=body,
        spacing=spacing,
        midline=float(np.median(inner)) if inner.size else float(columns.mean()),
        top=float(rows[0]),
        bottom=float(rows[-1]),
        left=float(columns[0]),
        right=float(columns[-1]),
    )
