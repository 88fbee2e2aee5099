"""Agreement and complexity of maps, pixel by pixel."""

import math

from tests.reference.replicas import replicates


def flat(a):
    return [float(value) for row in a for value in row]


@replicates("pearson")
def pearson(a, b):
    a, b = flat(a), flat(b)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    top = sum((p - mean_a) * (q - mean_b) for p, q in zip(a, b, strict=True))
    return top / math.sqrt(sum((p - mean_a) ** 2 for p in a) * sum((q - mean_b) ** 2 for q in b))


def ranks(a):
    """Mean rank: how many are smaller, and half of those that are equal."""
    values = flat(a)
    return [[sum(v < w for v in values) + (sum(v == w for v in values) + 1) / 2 for w in values]]


@replicates("spearman", "parameter_randomisation")
def spearman(a, b):
    return pearson(ranks(a), ranks(b))


def distribution(a):
    positive = [max(value, 0.0) for value in flat(a)]
    return [value / sum(positive) for value in positive]


@replicates("similarity")
def similarity(a, b):
    return sum(min(p, q) for p, q in zip(distribution(a), distribution(b), strict=True))


@replicates("l1_similarity")
def l1_similarity(a, b):
    def stretch(m):
        low, high = min(flat(m)), max(flat(m))
        return [(value - low) / (high - low) for value in flat(m)]

    distances = [abs(x - y) for x, y in zip(stretch(a), stretch(b), strict=True)]
    return 1 - sum(distances) / len(distances)


@replicates("kl_divergence")
def kl(a, b, epsilon=2.0**-52):
    return sum(
        q * math.log(epsilon + q / (epsilon + p))
        for p, q in zip(distribution(a), distribution(b), strict=True)
    )


def dice_of_top(a, b, count):
    top = [set(sorted(range(len(flat(m))), key=lambda i: -flat(m)[i])[:count]) for m in (a, b)]
    return 2 * len(top[0] & top[1]) / (2 * count)


@replicates("ssim")
def ssim(a, b):
    """Gaussian windows of 11 x 11 that fit into the maps, each stretched to [0, 1]."""

    def stretch(m):
        low, high = min(flat(m)), max(flat(m))
        return [[(value - low) / (high - low) for value in row] for row in m]

    a, b = stretch(a), stretch(b)
    window = [[math.exp(-(i * i + j * j) / (2 * 1.5**2)) for j in range(-5, 6)] for i in range(-5, 6)]
    total = sum(map(sum, window))
    results = []
    for y in range(5, len(a) - 5):
        for x in range(5, len(a[0]) - 5):
            ma = mb = aa = bb = ab = 0.0
            for i in range(-5, 6):
                for j in range(-5, 6):
                    w = window[i + 5][j + 5] / total
                    p, q = a[y + i][x + j], b[y + i][x + j]
                    ma, mb, aa, bb, ab = (
                        ma + w * p,
                        mb + w * q,
                        aa + w * p * p,
                        bb + w * q * q,
                        ab + w * p * q,
                    )
            va, vb, cov = aa - ma * ma, bb - mb * mb, ab - ma * mb
            results.append(
                (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma * ma + mb * mb + 1e-4) * (va + vb + 9e-4))
            )
    return sum(results) / len(results)


@replicates("auc_judd")
def auc_judd(a, b):
    values, fixated = flat(a), [value > 0 for value in flat(b)]
    points = [(0.0, 0.0)]
    for level in sorted({v for v, f in zip(values, fixated, strict=True) if f}, reverse=True):
        hits = sum(v >= level for v, f in zip(values, fixated, strict=True) if f)
        false = sum(v >= level for v, f in zip(values, fixated, strict=True) if not f)
        points.append((false / (len(values) - sum(fixated)), hits / sum(fixated)))
    points.append((1.0, 1.0))
    return sum(
        (points[i][0] - points[i - 1][0]) * (points[i][1] + points[i - 1][1]) / 2
        for i in range(1, len(points))
    )


@replicates("nss")
def nss(a, b):
    values, counts = flat(a), flat(b)
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
    return sum(n * (v - mean) / deviation for v, n in zip(values, counts, strict=True)) / sum(counts)


@replicates("gini")
def gini(a):
    """Half the mean difference between two pixels, relative to the mean."""
    v = [abs(value) for value in flat(a)]
    return sum(abs(p - q) for p in v for q in v) / (2 * len(v) * sum(v))


@replicates("entropy")
def entropy(a):
    v = [abs(value) for value in flat(a)]
    return -sum(p / sum(v) * math.log(p / sum(v)) for p in v if p > 0)


@replicates("effective_complexity")
def effective_complexity(a, threshold):
    magnitudes = [abs(v) for v in flat(a)]
    return sum(m > threshold * max(magnitudes) for m in magnitudes) / len(magnitudes)


@replicates("map_dice")
def dice_of_level(a, b, count):
    """Dice of the regions that reach the count-th highest value; what ties with it belongs to them."""
    regions = []
    for one in (flat(a), flat(b)):
        border = sorted(one, reverse=True)[count - 1]
        regions.append([v >= border for v in one])
    both = sum(p and q for p, q in zip(*regions, strict=True))
    return 2 * both / (sum(regions[0]) + sum(regions[1]))
