"""Localisation metrics, pixel by pixel."""


def pixels(saliency, mask):
    return [(saliency[y][x], bool(mask[y][x])) for y in range(len(saliency)) for x in range(len(saliency[0]))]


def energy_share(saliency, mask):
    inside = total = 0.0
    for value, wanted in pixels(saliency, mask):
        if value > 0:
            total += value
            if wanted:
                inside += value
    return inside / total


def overlap(saliency, mask, threshold):
    """Intersection over union, and Dice, of the pixels at or above a threshold."""
    both = found = wanted = 0
    for value, true in pixels(saliency, mask):
        found += value >= threshold
        wanted += true
        both += value >= threshold and true
    return both / (found + wanted - both), 2 * both / (found + wanted)


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
