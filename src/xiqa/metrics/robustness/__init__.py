"""Metrics that change the image a little: does the map stay what it is?

Start with `sensitivity`.
"""
