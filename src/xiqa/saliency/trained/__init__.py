"""Explainers that were themselves trained: generators, a soft decision tree, an attention branch.

Start with `folder`, which names and reads them.
"""
