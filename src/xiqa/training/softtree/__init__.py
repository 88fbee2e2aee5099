"""Distilling a classifier into a soft decision tree.

Start with `distil`; `loss` is what the tree minimises.
"""
