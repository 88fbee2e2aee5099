"""Methods that read one layer, in plain loops on one sample: output a and gradient g, both (C, h, w)."""

import math

import numpy as np
from tests.reference.replicas import replicates


def places(a):
    return [(y, x) for y in range(a.shape[1]) for x in range(a.shape[2])]


def fill(a, value):
    """A map from a function of the place."""
    found = np.zeros(a.shape[1:])
    for y, x in places(a):
        found[y, x] = value(y, x)
    return found


def size(numbers, norm, positive):
    """Entrywise norm of a list of contributions."""
    kept = [max(number, 0.0) for number in numbers] if positive else [abs(number) for number in numbers]
    if norm == "l1":
        return sum(kept)
    if norm == "max":
        return max(kept)
    return math.sqrt(sum(number * number for number in kept))


def patch(a, y, x):
    """The 3x3 neighbourhood of all channels, zero outside."""
    values = []
    for channel in a:
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                inside = 0 <= y + dy < a.shape[1] and 0 <= x + dx < a.shape[2]
                values.append(float(channel[y + dy, x + dx]) if inside else 0.0)
    return values


@replicates("normgrad_bias")
def normgrad_bias(a, g, norm="l2", positive=False):
    return fill(a, lambda y, x: size([gk[y, x] for gk in g], norm, positive))


@replicates("normgrad_scaling")
def normgrad_scaling(a, g, norm="l2", positive=False):
    return fill(
        a, lambda y, x: size([gk[y, x] * ak[y, x] for gk, ak in zip(g, a, strict=True)], norm, positive)
    )


@replicates("normgrad_conv1x1")
def normgrad_conv1x1(a, g, norm="l2", positive=False):
    return fill(a, lambda y, x: size([gk[y, x] * al[y, x] for gk in g for al in a], norm, positive))


@replicates("normgrad_conv3x3")
def normgrad_conv3x3(a, g, norm="l2", positive=False):
    return fill(a, lambda y, x: size([gk[y, x] * v for gk in g for v in patch(a, y, x)], norm, positive))


def weighted(a, weights, relu):
    total = fill(a, lambda y, x: sum(w * ak[y, x] for w, ak in zip(weights, a, strict=True)))
    return np.maximum(total, 0) if relu else total


@replicates("gradcam")
def gradcam(a, g, relu=True):
    return weighted(a, [np.mean([gk[p] for p in places(a)]) for gk in g], relu)


@replicates("xgradcam")
def xgradcam(a, g, relu=True):
    weights = []
    for ak, gk in zip(a, g, strict=True):
        mass = sum(ak[p] for p in places(a))
        weights.append(sum(ak[p] / mass * gk[p] for p in places(a)) if mass != 0 else 0.0)
    return weighted(a, weights, relu)


@replicates("gradcampp")
def gradcampp(a, g):
    weights = []
    for ak, gk in zip(a, g, strict=True):
        mass, weight = sum(ak[p] for p in places(a)), 0.0
        for p in places(a):
            denominator = 2 * gk[p] ** 2 + mass * gk[p] ** 3
            if denominator != 0:
                weight += gk[p] ** 2 / denominator * max(gk[p], 0)
        weights.append(weight)
    return weighted(a, weights, True)


@replicates("hirescam")
def hirescam(a, g, relu=False):
    total = fill(a, lambda y, x: sum(gk[y, x] * ak[y, x] for gk, ak in zip(g, a, strict=True)))
    return np.maximum(total, 0) if relu else total


@replicates("layercam")
def layercam(a, g):
    total = fill(a, lambda y, x: sum(max(gk[y, x], 0) * ak[y, x] for gk, ak in zip(g, a, strict=True)))
    return np.maximum(total, 0)


@replicates("fem")
def fem(a, g, k=1.0):
    total = np.zeros(a.shape[1:])
    for ak in a:
        mean = sum(ak[p] for p in places(a)) / ak.size
        spread = math.sqrt(sum((ak[p] - mean) ** 2 for p in places(a)) / ak.size)
        for p in places(a):
            if ak[p] >= mean + k * spread and ak.max() > mean:
                total[p] += mean
    return total


@replicates("eigencam")
def eigencam(a, g, relu=False):
    """The leading direction by power iteration."""
    vectors = [[ak[p] for ak in a] for p in places(a)]
    v = [1.0 + 0.1 * k for k in range(len(a))]
    for _ in range(800):
        scores = [sum(s * t for s, t in zip(v, row, strict=True)) for row in vectors]
        v = [sum(score * row[k] for score, row in zip(scores, vectors, strict=True)) for k in range(len(a))]
        length = math.sqrt(sum(s * s for s in v))
        v = [s / length for s in v]
    if sum(s * gk[p] for s, gk in zip(v, g, strict=True) for p in places(a)) < 0:
        v = [-s for s in v]
    return weighted(a, v, relu)
