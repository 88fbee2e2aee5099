"""Slow replicas of a soft tree: one input, one node, one leaf at a time."""

import math

from tests.reference.replicas import replicates


def turns(inputs, weights, biases, sharpness, depth):
    """Probability of going right at each node, of reaching it, and of each leaf."""
    right = []
    for weight, bias in zip(weights, biases, strict=True):
        argument = sharpness * (sum(w * x for w, x in zip(weight, inputs, strict=True)) + bias)
        right.append(1 / (1 + math.exp(-argument)))
    nodes = 2**depth - 1

    def reach(node):
        if node == 0:
            return 1.0
        parent = (node - 1) // 2
        turn = right[parent] if node == 2 * parent + 2 else 1 - right[parent]
        return reach(parent) * turn

    return right, [reach(n) for n in range(nodes)], [reach(n) for n in range(nodes, 2 * nodes + 1)]


def loss(leaves, distributions, target):
    """The leaves' cross-entropies, weighted by how they are reached."""
    total = 0.0
    for reached, distribution in zip(leaves, distributions, strict=True):
        total += reached * sum(-t * math.log(q) for t, q in zip(target, distribution, strict=True))
    return total


def shares(batches, level):
    """A node's running share: sums over batches of (reached, right) an image, older ones forgotten."""
    keep = 1 - 0.5**level
    above = below = 0.0
    for batch in batches:
        above = keep * above + (1 - keep) * sum(reached * right for reached, right in batch)
        below = keep * below + (1 - keep) * sum(reached for reached, _ in batch)
    return above / below


def penalty(shares_of, depth):
    total = 0.0
    for node, share in enumerate(shares_of):
        level = int(math.log2(node + 1))
        total -= 0.5**level * 0.5 * (math.log(share) + math.log(1 - share))
    assert len(shares_of) == 2**depth - 1
    return total


@replicates("softtree")
def places(kind, pooling, weights, mean, maps):
    """What each place adds to w (x - mean) of one image, maps[channel][row][column]."""
    rows, columns = len(maps[0]), len(maps[0][0])
    out = [[0.0] * columns for _ in range(rows)]
    for row in range(rows):
        for column in range(columns):
            if kind == "pixels":
                number = row * columns + column
                out[row][column] = weights[number] * (maps[0][row][column] - mean[number])
                continue
            for weight, middle, channel in zip(weights, mean, maps, strict=True):
                value = channel[row][column]
                flat = [v for line in channel for v in line]
                if pooling == "mean":
                    out[row][column] += weight * (value - middle) / len(flat)
                elif value == max(flat):
                    out[row][column] += weight * (value - middle) / flat.count(value)
    return out


def expected(node, right, distributions, class_):
    """The probability of a class that the subtree below a node expects."""
    nodes = len(right)
    if node >= nodes:
        return distributions[node - nodes][class_]
    below = [expected(2 * node + turn, right, distributions, class_) for turn in (1, 2)]
    return (1 - right[node]) * below[0] + right[node] * below[1]


@replicates("softtree")
def stake(node, right, reached, distributions, class_):
    """How much more probable a class is if a node turns right, times how probably it is reached."""
    left, other = (expected(2 * node + turn, right, distributions, class_) for turn in (1, 2))
    return reached[node] * (other - left)
