"""From a raw map to places in the original image."""

from __future__ import annotations

import numpy as np

from xiqa.geometry import Box, Frame, Point
from xiqa.saliency.peaks import find
from xiqa.saliency.placing import frame_of, on_input
from xiqa.types import Finding, FloatArray, Image, SaliencyMap

__all__ = ["locate"]

# At most so many places, none lower than this part of the highest, none closer than this part of the side.
# With the shipped model a lower bound adds more haze than objects (validation and simulated images).
PLACES, LEAST, SEPARATION = 8, 0.25, 0.03


def locate(saliency: SaliencyMap, image: Image) -> tuple[Finding, ...]:
    """Findings of a map, told in pixels of the original image.

    The map is enlarged to the model's grid. Of that grid only the part that shows the image counts: neither
    padding nor what lies outside the collimation can hold a finding.

    Args:
        saliency: Raw map at layer or input size, with its frame.
        image: The original image.

    Returns:
        The places, most salient first; none where the map is constant or not finite.
    """
    frame = frame_of(saliency, image.size)
    left, top = int(frame.window.x0), int(frame.window.y0)
    right, bottom = int(frame.window.x1) + 1, int(frame.window.y1) + 1
    seen = on_input(saliency.values, frame)[top:bottom, left:right]
    if image.mask is not None:
        seen = _inside(seen, frame.map_to_model(image.mask)[top:bottom, left:right])
    apart = SEPARATION * max(seen.shape)
    found = find(seen, count=PLACES, least=LEAST, separation=apart)
    return tuple(_to_original(finding, frame, image, (left, top)) for finding in found)


def _inside(values: FloatArray, mask: FloatArray) -> FloatArray:
    """The map with its lowest value wherever most of a pixel lies outside the image's mask."""
    inside = mask > 0.5
    if not inside.any():
        return values
    return np.where(inside, values, values[inside].min()).astype(np.float32)


def _to_original(finding: Finding, frame: Frame, image: Image, corner: tuple[int, int]) -> Finding:
    """A finding on the window's grid, told in original pixels and kept inside the image."""
    x, y = frame.points_to_original(np.add(finding.peak, corner)).tolist()
    box = frame.box_to_original(Box(*np.add(finding.box, (*corner, *corner)).tolist()))
    rows, columns = image.size
    # a box of less than one original pixel still covers the pixel that it lies in
    x0, y0 = max(0.0, min(box.x0, x)), max(0.0, min(box.y0, y))
    x1, y1 = min(columns - 1.0, max(box.x1, x)), min(rows - 1.0, max(box.y1, y))
    peak = Point(min(max(x, 0.0), columns - 1.0), min(max(y, 0.0), rows - 1.0))
    return Finding(peak, Box(x0, y0, x1, y1), finding.score, finding.ties, finding.label)
