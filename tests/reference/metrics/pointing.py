"""The Pointing Game, pixel by pixel."""

import math

from tests.reference.replicas import replicates


def first_maximum(saliency):
    best, where = None, None
    for row in range(len(saliency)):
        for column in range(len(saliency[0])):
            if best is None or saliency[row][column] > best:
                best, where = saliency[row][column], (row, column)
    return where


@replicates("hit_rate", "pointing_game")
def hit(saliency, mask, tolerance, strict, frame=None):
    """Walk over every pixel of the mask and measure its distance to the peak in the frame's pixels."""
    rows, columns = len(saliency), len(saliency[0])
    frame_rows, frame_columns = frame or (rows, columns)
    row, column = first_maximum(saliency)
    for y in range(rows):
        for x in range(columns):
            if mask[y][x]:
                dy, dx = (y - row) * frame_rows / rows, (x - column) * frame_columns / columns
                distance = math.sqrt(dx * dx + dy * dy)
                if distance == 0 or distance < tolerance or (not strict and distance == tolerance):
                    return 1.0
    return 0.0


@replicates("pointing_recall")
def suppressed_peaks(saliency, count, separation):
    """Sort all pixels, keep one when no kept pixel is nearer than the separation."""
    rows, columns = len(saliency), len(saliency[0])
    low = min(min(line) for line in saliency)
    order = sorted(
        ((-saliency[y][x], y * columns + x, x, y) for y in range(rows) for x in range(columns)),
    )
    kept = []
    for negative, _, x, y in order:
        if -negative <= low or len(kept) == count:
            break
        if all(math.hypot(x - a, y - b) >= separation for a, b in kept):
            kept.append((x, y))
    return kept
