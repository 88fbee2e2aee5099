"""Slow replicas of the searches for the smallest flip: one image, one size, one pixel at a time."""

import itertools

import torch
from tests.reference.replicas import replicates


def score(margins, image):
    return min(margins(image[None])[0].tolist())


def slope(margins, image, place=None):
    """The gradient of the lowest margin, or of one of them, value by value from a graph of its own."""
    leaf = image.clone().requires_grad_()
    found = margins(leaf[None])[0]
    found[int(found.argmin()) if place is None else place].backward()
    return leaf.grad


@replicates("fgsm")
def fgsm_size(margins, image, sizes):
    """The first of many sizes at which a step of the gradient's sign flips."""
    before, gradient = score(margins, image), slope(margins, image)
    for size in sizes:
        moved = image.clone()
        for place in itertools.product(*map(range, image.shape)):
            sign = (gradient[place] > 0).int() - (gradient[place] < 0).int()
            moved[place] += size * (-1 if before > 0 else 1) * sign
        if (score(margins, moved) > 0) != (before > 0):
            return size
    return None


@replicates("pgd")
def pgd_size(margins, image, sizes, steps):
    """The first of many boxes in which steps of the gradient's sign flip."""
    before = score(margins, image)
    for size in sizes:
        moved = image.clone()
        for _ in range(steps):
            gradient = slope(margins, moved)
            for place in itertools.product(*map(range, image.shape)):
                sign = int(gradient[place] > 0) - int(gradient[place] < 0)
                ahead = float(moved[place]) + (-1 if before > 0 else 1) * size / 4 * sign
                moved[place] = min(max(ahead, float(image[place]) - size), float(image[place]) + size)
            if (score(margins, moved) > 0) != (before > 0):
                return size
    return None


@replicates("deepfool")
def deepfool(margins, image, steps, overshoot):
    """The sum of the steps to the nearest linearised border, lengthened."""
    before, total = score(margins, image), torch.zeros_like(image)
    for _ in range(steps):
        here = image + (1 + overshoot) * total
        if (score(margins, here) > 0) != (before > 0):
            break
        values = margins(here[None])[0].tolist()
        candidates = range(len(values)) if before > 0 else [values.index(min(values))]
        best = None
        for place in candidates:
            gradient = slope(margins, here, place)
            length = sum(float(value) ** 2 for value in gradient.flatten()) ** 0.5
            if best is None or abs(values[place]) / length < best[0]:
                gap = abs(values[place]) + 1e-4
                best = (
                    abs(values[place]) / length,
                    (-1 if values[place] > 0 else 1) * gap * gradient / length**2,
                )
        total = total + best[1]
    return (1 + overshoot) * total


@replicates("onepixel")
def best_pixel(score_of, image, values):
    """Every pixel with every value (the same in all channels): the lowest score and its pixel."""
    found = None
    for row, column, value in itertools.product(*map(range, image.shape[1:]), values):
        copy = image.clone()
        copy[:, row, column] = value
        reached = float(score_of(copy[None])[0])
        if found is None or reached < found[0]:
            found = reached, (row, column)
    return found
