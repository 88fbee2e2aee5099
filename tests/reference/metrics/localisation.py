"""Localisation metrics, pixel by pixel."""

import math

from tests.reference.replicas import replicates


def pixels(saliency, mask):
    return [(saliency[y][x], bool(mask[y][x])) for y in range(len(saliency)) for x in range(len(saliency[0]))]


@replicates("energy_pointing_game", "relevance_mass_accuracy")
def energy_share(saliency, mask):
    inside = total = 0.0
    for value, wanted in pixels(saliency, mask):
        if value > 0:
            total += value
            if wanted:
                inside += value
    return inside / total


@replicates("iou", "dice")
def overlap(saliency, mask, threshold):
    """Intersection over union, and Dice, of the pixels at or above a threshold."""
    both = found = wanted = 0
    for value, true in pixels(saliency, mask):
        found += value >= threshold
        wanted += true
        both += value >= threshold and true
    return both / (found + wanted - both), 2 * both / (found + wanted)


@replicates("relevance_rank_accuracy", "top_k_intersection")
def share_of_top(saliency, mask, count):
    """Mean share over the orders in which each tying pixel comes first, found by rotating the ties."""
    entries = sorted(pixels(saliency, mask), key=lambda entry: -entry[0])
    border = entries[count - 1][0]
    above = [entry for entry in entries if entry[0] > border]
    ties = [entry for entry in entries if entry[0] == border]
    shares = []
    for start in range(len(ties)):
        rotated = ties[start:] + ties[:start]
        top = above + rotated[: count - len(above)]
        shares.append(sum(true for _, true in top) / count)
    return sum(shares) / len(shares)


@replicates("pixel_auc")
def auc(saliency, mask):
    """Compare every object pixel with every background pixel."""
    entries = pixels(saliency, mask)
    inside = [value for value, true in entries if true]
    outside = [value for value, true in entries if not true]
    wins = 0.0
    for a in inside:
        for b in outside:
            wins += 1.0 if a > b else 0.5 if a == b else 0.0
    return wins / (len(inside) * len(outside))


@replicates("froc")
def froc(found, boxes, levels):
    """For every level, try every threshold and keep the best sensitivity within the level."""
    thresholds = sorted({score for places in found for _, _, score in places}, reverse=True)
    objects = sum(len(b) for b in boxes)
    sensitivities = []
    for level in levels:
        best = 0.0
        for threshold in thresholds:
            hit, false_positives = set(), 0
            for image, places in enumerate(found):
                for x, y, score in places:
                    if score < threshold:
                        continue
                    inside = [
                        k
                        for k, (x0, y0, x1, y1) in enumerate(boxes[image])
                        if x0 <= x <= x1 and y0 <= y <= y1
                    ]
                    false_positives += not inside
                    hit |= {(image, k) for k in inside}
            if false_positives / len(found) <= level:
                best = max(best, len(hit) / objects)
        sensitivities.append(best)
    return sum(sensitivities) / len(sensitivities)


def first_maximum(saliency):
    best = max(max(row) for row in saliency)
    for y in range(len(saliency)):
        for x in range(len(saliency[0])):
            if saliency[y][x] == best:
                return x, y
    raise AssertionError


@replicates("peak_offset")
def peak_offset(saliency, boxes):
    """Distance from the first maximum to the nearest box's centre."""
    x, y = first_maximum(saliency)
    return min(math.hypot(x - (x0 + x1) / 2, y - (y0 + y1) / 2) for x0, y0, x1, y1 in boxes)


def largest_part(found):
    """Corners of the box around the largest part of true pixels that touch, corners included."""
    rows, columns = len(found), len(found[0])
    seen, parts = set(), []
    for y in range(rows):
        for x in range(columns):
            if not found[y][x] or (x, y) in seen:
                continue
            part, waiting = [], [(x, y)]
            seen.add((x, y))
            while waiting:
                a, b = waiting.pop()
                part.append((a, b))
                for near in [(a + i, b + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                    inside = 0 <= near[0] < columns and 0 <= near[1] < rows
                    if inside and near not in seen and found[near[1]][near[0]]:
                        seen.add(near)
                        waiting.append(near)
            parts.append(part)
    part = max(parts, key=len)
    return (
        min(x for x, _ in part),
        min(y for _, y in part),
        max(x for x, _ in part),
        max(y for _, y in part),
    )


def box_overlap(one, other):
    """Intersection over union of two boxes, counted pixel by pixel."""
    pixels_of = [
        {(x, y) for x in range(int(b[0]), int(b[2]) + 1) for y in range(int(b[1]), int(b[3]) + 1)}
        for b in (one, other)
    ]
    return len(pixels_of[0] & pixels_of[1]) / len(pixels_of[0] | pixels_of[1])


@replicates("localisation_accuracy")
def localisation_accuracy(saliency, boxes, level, wanted):
    top = max(max(row) for row in saliency)
    found = [[value >= level * top for value in row] for row in saliency]
    return float(max(box_overlap(largest_part(found), box) for box in boxes) >= wanted)
