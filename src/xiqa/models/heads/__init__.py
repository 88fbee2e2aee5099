"""What sits on a network's features: a map of evidence, ordered grades, a branch of attention.

Start with `evidence`, the shipped model's.
"""
