"""Metrics that change the image where the map is high: does the network really use that place?

Start with `aopc`.
"""
