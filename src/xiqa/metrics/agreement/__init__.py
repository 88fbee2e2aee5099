"""Metrics that compare two maps.

Start with `correlation`.
"""
