"""Annotations from mask images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xiqa.geometry import Box
from xiqa.types import Annotation, MaskArray

__all__ = ["annotation_from_mask", "read_mask", "tightest_box", "write_mask"]


def tightest_box(mask: MaskArray) -> Box:
    """The smallest box around the true pixels; there must be at least one.

    >>> tightest_box(np.array([[False, False, False], [False, True, True]]))
    Box(x0=1.0, y0=1.0, x1=2.0, y1=1.0)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1]))


def read_mask(path: Path, frame: int = 0) -> MaskArray:
    """True where the mask file is non-zero."""
    from xiqa.imaging import read_image  # noqa: PLC0415 - decoders load only when a file is read

    pixels = read_image(path, frame=frame).pixels
    return np.asarray((pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 0)


def write_mask(mask: MaskArray, path: Path) -> None:
    """Write a mask as a PNG of one bit a pixel."""
    from PIL import Image as Picture  # noqa: PLC0415 - only when a file is written

    Picture.fromarray(mask).save(path)


def annotation_from_mask(mask: MaskArray, kind: str) -> tuple[Annotation, ...]:
    """One annotation with the mask and its tightest box; none for an empty mask."""
    return (Annotation(tightest_box(mask), kind=kind, mask=mask),) if mask.any() else ()
