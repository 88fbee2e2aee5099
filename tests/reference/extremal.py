"""Slow replicas of smooth masks and of the price of an area."""

import math

from tests.reference.replicas import replicates


@replicates("extremal")
def smooth_mask(numbers, shape, smooth):
    """One place at a time, one cell at a time."""
    rows, columns = len(numbers), len(numbers[0])
    out = [[0.0] * shape[1] for _ in range(shape[0])]
    for i in range(shape[0]):
        for j in range(shape[1]):
            y, x = (i + 0.5) * rows / shape[0] - 0.5, (j + 0.5) * columns / shape[1] - 0.5
            above = below = 0.0
            for v in range(rows):
                for u in range(columns):
                    z = math.hypot(y - v, x - u) / smooth
                    kernel = math.exp(-2 * max(0.0, z - 0.5) ** 2)
                    if kernel < 1e-3:
                        continue
                    value = kernel * numbers[v][u]
                    above += value * math.exp(20 * value)
                    below += math.exp(20 * value)
            out[i][j] = above / below
    return out


@replicates("extremal")
def area_price(mask, area):
    """Sorted values against zeros, then ones."""
    values = sorted(value for row in mask for value in row)
    ones = round(area * len(values))
    total = 0.0
    for place, value in enumerate(values):
        total += (value - (1.0 if place >= len(values) - ones else 0.0)) ** 2
    return total / len(values)
