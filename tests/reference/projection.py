"""Slow replicas of the chest simulator's arithmetic, in plain loops."""

import math
from itertools import pairwise

import numpy as np


def splat(size, x, y, weight):
    """Every point shares its weight between the four pixels around it."""
    laid = np.zeros(size)
    for u, v, w in zip(x, y, weight, strict=True):
        left, top = math.floor(u), math.floor(v)
        for row, part_y in ((top, 1 - (v - top)), (top + 1, v - top)):
            for column, part_x in ((left, 1 - (u - left)), (left + 1, u - left)):
                if 0 <= row < size[0] and 0 <= column < size[1]:
                    laid[row, column] += w * part_x * part_y
    return laid


def distance_to_course(size, course):
    """Distance of every pixel's centre to the nearest point of a polyline."""
    distance = np.full(size, np.inf)
    for row in range(size[0]):
        for column in range(size[1]):
            for (ax, ay), (bx, by) in pairwise(course):
                square = (bx - ax) ** 2 + (by - ay) ** 2
                t = 0.0 if square == 0 else ((column - ax) * (bx - ax) + (row - ay) * (by - ay)) / square
                t = min(max(t, 0.0), 1.0)
                apart = math.hypot(column - ax - t * (bx - ax), row - ay - t * (by - ay))
                distance[row, column] = min(distance[row, column], apart)
    return distance


def gaussian_mean(values, sigma, row, column):
    """The Gaussian mean around one pixel, over what lies inside the image."""
    total = weights = 0.0
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            weight = math.exp(-((i - row) ** 2 + (j - column) ** 2) / (2 * sigma**2))
            total += weight * values[i, j]
            weights += weight
    return total / weights
