"""LFI-CAM's attention in plain loops, one sample: feature maps a as lists (C, h, w), importances w."""

from tests.reference.replicas import replicates


def unit(values):
    """A nested list stretched to [0, 1]; a constant one becomes 0."""
    flat = list(flatten(values))
    low, high = min(flat), max(flat)
    return stretched(values, low, high - low)


def flatten(values):
    if isinstance(values, list):
        for one in values:
            yield from flatten(one)
    else:
        yield values


def stretched(values, low, spread):
    if isinstance(values, list):
        return [stretched(one, low, spread) for one in values]
    return (values - low) / spread if spread > 0 else 0.0


@replicates("lficam")
def attention(a, weights):
    maps = unit(a)
    rows, columns = range(len(a[0])), range(len(a[0][0]))
    total = [
        [max(sum(w * one[y][x] for w, one in zip(weights, maps, strict=True)), 0.0) for x in columns]
        for y in rows
    ]
    return unit(total)


def logits(a, m, weight, bias):
    """The linear head on the means of the features under (1 + m)."""
    rows, columns = range(len(m)), range(len(m[0]))
    count = len(m) * len(m[0])
    means = [sum((1 + m[y][x]) * one[y][x] for y in rows for x in columns) / count for one in a]
    return [
        sum(w * v for w, v in zip(row, means, strict=True)) + b for row, b in zip(weight, bias, strict=True)
    ]
