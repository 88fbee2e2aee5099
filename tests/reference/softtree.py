"""Slow replicas of a soft tree: one input, one node, one leaf at a time."""

import math


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
    """A node's running share: sums over batches of (reached, right) a film, older ones forgotten."""
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
