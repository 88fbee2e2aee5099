"""Metrics that compare a map with annotated objects: does it point at the problem?

Start with `pointing_game`.
"""
