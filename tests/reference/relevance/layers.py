"""Slow replicas of the propagation rules on one layer, in plain loops over numbers.

A layer is a matrix ``w[i][j]`` and a bias ``b[j]``; convolutions are unrolled into that form first.
"""

import math

from tests.reference.replicas import replicates


def unrolled(weight, height, width, *, stride=1, padding=0, dilation=1, groups=1):
    """The matrix of a convolution with weight ``[o][i][ky][kx]``; returns it and the output's shape."""
    outs, per_group, kh, kw = len(weight), len(weight[0]), len(weight[0][0]), len(weight[0][0][0])
    oh = (height + 2 * padding - dilation * (kh - 1) - 1) // stride + 1
    ow = (width + 2 * padding - dilation * (kw - 1) - 1) // stride + 1
    channels = per_group * groups
    matrix = [[0.0] * (outs * oh * ow) for _ in range(channels * height * width)]
    for o in range(outs):
        group = o // (outs // groups)
        for y in range(oh):
            for x in range(ow):
                for i in range(per_group):
                    for ky in range(kh):
                        for kx in range(kw):
                            row, column = (
                                y * stride - padding + ky * dilation,
                                x * stride - padding + kx * dilation,
                            )
                            if 0 <= row < height and 0 <= column < width:
                                source = ((group * per_group + i) * height + row) * width + column
                                matrix[source][(o * oh + y) * ow + x] += weight[o][i][ky][kx]
    return matrix, (outs, oh, ow)


def outputs(x, w, b):
    return [sum(x[i] * w[i][j] for i in range(len(x))) + b[j] for j in range(len(b))]


def _spread(x, w, relevance, contribution, bias=lambda j: 0.0, stabiliser=lambda z: 0.0):
    """R_i = sum_j c_ij / (sum_i c_ij + bias_j + stabiliser) R_j."""
    found = [0.0] * len(x)
    for j, r in enumerate(relevance):
        z = sum(contribution(i, j) for i in range(len(x))) + bias(j)
        z += stabiliser(z)
        for i in range(len(x)):
            if z != 0:
                found[i] += contribution(i, j) / z * r
    return found


@replicates("lrp_zero", "lrp_epsilon")
def epsilon(x, w, b, relevance, eps, *, signed=True, keep_bias=True):
    def stabiliser(z):
        return eps * (-1 if signed and z < 0 else 1)

    bias = (lambda j: b[j]) if keep_bias else (lambda j: 0.0)
    return _spread(x, w, relevance, lambda i, j: x[i] * w[i][j], bias, stabiliser)


@replicates("lrp_alphabeta", "deeptaylor", "relevancecam")
def alphabeta(x, w, b, relevance, alpha, beta, *, keep_bias=True):
    def part(sign):
        def keep(value):
            return value if value * sign > 0 else 0.0

        bias = (lambda j: keep(b[j])) if keep_bias else (lambda j: 0.0)
        return _spread(x, w, relevance, lambda i, j: keep(x[i] * w[i][j]), bias)

    return [alpha * p - beta * n for p, n in zip(part(1), part(-1), strict=True)]


@replicates("lrp_gamma")
def gamma(x, w, b, relevance, g):
    """Contributions of the output's own sign are favoured."""
    z = outputs(x, w, b)
    sign = [1 if value > 0 else -1 for value in z]

    def favoured(value, j):
        return value + g * (value if value * sign[j] > 0 else 0.0)

    return _spread(x, w, relevance, lambda i, j: favoured(x[i] * w[i][j], j), lambda j: favoured(b[j], j))


def wsquare(x, w, relevance):
    return _spread(x, w, relevance, lambda i, j: w[i][j] ** 2)


def flat(x, w, relevance, *, connected):
    return _spread(x, w, relevance, lambda i, j: 1.0 if connected(i, j) else 0.0)


@replicates("deeptaylor")
def box(x, w, relevance, low, high):
    def contribution(i, j):
        return x[i] * w[i][j] - low[i] * max(w[i][j], 0.0) - high[i] * min(w[i][j], 0.0)

    return _spread(x, w, relevance, contribution)


@replicates("deeplift", "deeplift_revealcancel")
def deeplift(x, x0, w1, b1, w2, f, *, rule):
    """Contributions of ``y = w2 . f(w1 x + b1)`` against ``x0``, by rescale or RevealCancel."""
    hidden = range(len(b1))
    found = [0.0] * len(x)
    z, z0 = outputs(x, w1, b1), outputs(x0, w1, b1)
    for h in hidden:
        parts = [w1[i][h] * (x[i] - x0[i]) for i in range(len(x))]
        if rule == "rescale":
            m = (f(z[h]) - f(z0[h])) / (z[h] - z0[h]) if z[h] != z0[h] else 0.0
            plus = minus = m
        else:
            up, down = sum(p for p in parts if p > 0), sum(p for p in parts if p < 0)
            base = z0[h]
            dy_up = 0.5 * (f(base + up) - f(base)) + 0.5 * (f(base + down + up) - f(base + down))
            dy_down = 0.5 * (f(base + down) - f(base)) + 0.5 * (f(base + up + down) - f(base + up))
            plus = dy_up / up if up else 0.0
            minus = dy_down / down if down else 0.0
        for i, part in enumerate(parts):
            found[i] += w2[h] * (plus if part > 0 else minus) * part
    return found


def log_sum(x):
    top = max(x)
    return top + math.log(sum(math.exp(value - top) for value in x))


def smooth_maximum(x, multiplier):
    """LRP through log(sum(exp)): each value's multiplier is its softmax weight's part."""
    y = log_sum(x)
    return [math.exp(value - y) * multiplier for value in x]


def smooth_maximum_change(x, x0, multiplier):
    """DeepLIFT through log(sum(exp)): a secant of the logarithm times one of each exponential."""
    s, s0 = sum(math.exp(v) for v in x), sum(math.exp(v) for v in x0)
    outer = (math.log(s) - math.log(s0)) / (s - s0) if s != s0 else 1 / s
    inner = [
        (math.exp(v) - math.exp(v0)) / (v - v0) if v != v0 else math.exp(v)
        for v, v0 in zip(x, x0, strict=True)
    ]
    return [multiplier * outer * one for one in inner]
