"""The loss of the two generators in plain loops, one image and one pixel at a time."""

import math

from tests.reference.replicas import replicates


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


def edges_within(image, gate):
    total = 0.0
    for y, x in pixels(image):
        for v, u in ((y + 1, x), (y, x + 1)):
            if v < len(image) and u < len(image[0]):
                total += (gate[y][x] + gate[v][u]) / 2 * abs(image[v][u] - image[y][x])
    return total / len(pixels(image))


@replicates("twogenerator")
def loss(x, similar, adversarial, kept, turned, verdict, weights, turns=True, gate=None, factor=1.0):
    """Of one image; ``kept`` and ``turned`` are the margins of the two generated ones."""
    start = x if similar is None else similar
    total = turns * math.log(1 + math.exp(weights["beyond"] + verdict * turned))
    close = weights["adversarial"] * distance(x, adversarial)
    close += weights["variation"] * variation(start, adversarial)
    if similar is not None:
        total += math.log(1 + math.exp(-verdict * kept))
        close += weights["similar"] * distance(x, similar) + weights["pair"] * distance(similar, adversarial)
    if gate is not None:
        close += weights["area"] * sum(map(sum, gate)) / len(pixels(gate))
        close += weights["edges"] * edges_within(adversarial, gate)
    return total + factor * (1.0 if turns else weights["untouched"]) * close


def balance(shares, goal, pace, start, least, most):
    """The factor after each step in which a share of the verdicts turned."""
    running, factor, factors = 0.0, start, []
    for share in shares:
        running = 0.95 * running + 0.05 * share
        room = 1 - goal if running > goal else goal
        factor = min(max(factor * math.exp(pace * (running - goal) / room), least), most)
        factors.append(factor)
    return factors
