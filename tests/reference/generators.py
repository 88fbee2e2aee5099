"""The loss of the two generators in plain loops, one image and one pixel at a time."""

import math


def pixels(image):
    return [(y, x) for y in range(len(image)) for x in range(len(image[0]))]


def distance(a, b):
    return sum(abs(a[y][x] - b[y][x]) for y, x in pixels(a)) / len(pixels(a))


def variation(a, b):
    total = 0.0
    for y, x in pixels(a):
        here = a[y][x] - b[y][x]
        if y + 1 < len(a):
            total += abs(a[y + 1][x] - b[y + 1][x] - here)
        if x + 1 < len(a[0]):
            total += abs(a[y][x + 1] - b[y][x + 1] - here)
    return total / len(pixels(a))


def margin(logits, c, limit):
    if len(logits) == 1:
        return (logits[0] if c == 1 else -logits[0]) - limit
    p = math.exp(logits[c]) / sum(math.exp(z) for z in logits)
    return math.log(p / (1 - p)) - limit


def loss(x, similar, adversarial, kept, turned, verdict, weights):
    """Of one image; ``kept`` and ``turned`` are the margins of the two generated ones."""
    start = x if similar is None else similar
    total = math.log(1 + math.exp(verdict * turned))
    total += weights["adversarial"] * distance(x, adversarial)
    total += weights["variation"] * variation(start, adversarial)
    if similar is not None:
        total += math.log(1 + math.exp(-verdict * kept))
        total += weights["similar"] * distance(x, similar) + weights["pair"] * distance(similar, adversarial)
    return total
