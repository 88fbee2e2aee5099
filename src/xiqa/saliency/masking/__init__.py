"""Masks that are optimised for one image: extremal masks and meaningful perturbation.

Start with `extremal`.
"""
