"""Faithfulness metrics in plain loops: one copy of the image at a time, and one pixel at a time."""

import math

import numpy as np
import torch
from tests.reference.replicas import replicates


def probability(network, image, target):
    with torch.no_grad():
        logits = network(image[None])[0].tolist()
    powers = [math.exp(z - max(logits)) for z in logits]
    return powers[target] / sum(powers)


def logit(network, image, target):
    with torch.no_grad():
        return network(image[None])[0, target].item()


def regions(rows, columns, side):
    """Lists of pixels, row by row of regions; cut at the border."""
    return [
        [(y, x) for y in range(top, min(top + side, rows)) for x in range(left, min(left + side, columns))]
        for top in range(0, rows, side)
        for left in range(0, columns, side)
    ]


def region_curve(score, image, saliency, side, steps, descending, altered):
    """Scores after 0, 1, 2, ... regions took the pixels of the altered image."""
    grid = regions(*saliency.shape, side)
    grid.sort(key=lambda region: sum(saliency[p] for p in region) / len(region), reverse=descending)
    copy = image.clone()
    scores = [score(copy)]
    for region in grid[:steps]:
        for y, x in region:
            copy[:, y, x] = altered[:, y, x]
        scores.append(score(copy))
    return scores


@replicates("aopc")
def aopc(scores):
    return sum(scores[0] - s for s in scores) / len(scores)


@replicates("deletion", "insertion")
def pixel_curve(score, start, end, saliency, step, descending=True):
    """Scores while the highest pixels change from one image to the other."""
    rows, columns = saliency.shape
    places = sorted(
        ((y, x) for y in range(rows) for x in range(columns)), key=lambda p: saliency[p], reverse=descending
    )
    copy = start.clone()
    scores, shares = [score(copy)], [0.0]
    for first in range(0, len(places), step):
        for y, x in places[first : first + step]:
            copy[:, y, x] = end[:, y, x]
        scores.append(score(copy))
        shares.append(min(first + step, len(places)) / len(places))
    return scores, shares


def area(scores, shares):
    return sum((scores[i] + scores[i - 1]) / 2 * (shares[i] - shares[i - 1]) for i in range(1, len(scores)))


@replicates("road", "road_combined")
def impute(image, removed):
    """Repeat the weighted mean of the neighbours until nothing changes."""
    channels, rows, columns = image.shape
    filled = np.array(image, float)
    filled[:, removed] = image[:, ~removed].mean()
    change = 1.0
    while change > 1e-10:
        change = 0.0
        for y in range(rows):
            for x in range(columns):
                if not removed[y, x]:
                    continue
                total, weights = np.zeros(channels), 0.0
                for dy in (-1, 0, 1):
                    for dx in (-1, 0, 1):
                        if (dy, dx) == (0, 0) or not (0 <= y + dy < rows and 0 <= x + dx < columns):
                            continue
                        w = 1 / 6 if dy == 0 or dx == 0 else 1 / 12
                        total += w * filled[:, y + dy, x + dx]
                        weights += w
                change = max(change, abs(total / weights - filled[:, y, x]).max())
                filled[:, y, x] = total / weights
    return filled


@replicates("sensitivity_n")
def correlation(a, b):
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    top = sum((p - mean_a) * (q - mean_b) for p, q in zip(a, b, strict=True))
    return top / math.sqrt(sum((p - mean_a) ** 2 for p in a) * sum((q - mean_b) ** 2 for q in b))


@replicates("average_drop", "average_gain", "increase_in_confidence")
def shown(image, saliency, fill=0.0):
    """The image through the map stretched to [0, 1], pixel by pixel."""
    low, high = saliency.min(), saliency.max()
    copy = image.clone()
    for y in range(saliency.shape[0]):
        for x in range(saliency.shape[1]):
            s = (saliency[y, x] - low) / (high - low)
            copy[:, y, x] = s * image[:, y, x] + (1 - s) * fill
    return copy


@replicates("coherency")
def coherency(explain, image, saliency, fill=0.0):
    again = explain(shown(image, saliency, fill)[None])[0]
    pairs = [
        (float(saliency[y, x]), float(again[y, x]))
        for y in range(saliency.shape[0])
        for x in range(saliency.shape[1])
    ]
    return (1 + correlation(*map(list, zip(*pairs, strict=True)))) / 2


@replicates("adcc")
def adcc(network, explain, image, saliency, target):
    low, high = saliency.min(), saliency.max()
    complexity = sum((v - low) / (high - low) for v in saliency.ravel().tolist()) / saliency.size
    before = probability(network, image, target)
    drop = max(0.0, before - probability(network, shown(image, saliency), target)) / before
    parts = [coherency(explain, image, saliency), 1 - complexity, 1 - drop]
    return 3 / sum(1 / part for part in parts)


@replicates("infidelity")
def infidelity(score, image, saliency, corners, side, fill=0.0):
    """Mean squared error of the map's sum over a square as the fall of the score without it."""
    errors = []
    for top, left in corners:
        copy, predicted = image.clone(), 0.0
        for y in range(top, min(top + side, saliency.shape[0])):
            for x in range(left, min(left + side, saliency.shape[1])):
                copy[:, y, x] = fill
                predicted += float(saliency[y, x])
        errors.append((predicted - (score(image) - score(copy))) ** 2)
    return sum(errors) / len(errors)


def infidelity_of_noise(score, image, saliency, changes):
    """The same for changes of every pixel, equal in all channels."""
    errors = []
    for change in changes:
        copy, predicted = image.clone(), 0.0
        for y in range(saliency.shape[0]):
            for x in range(saliency.shape[1]):
                copy[:, y, x] -= float(change[y, x])
                predicted += float(change[y, x]) * float(saliency[y, x])
        errors.append((predicted - (score(image) - score(copy))) ** 2)
    return sum(errors) / len(errors)
