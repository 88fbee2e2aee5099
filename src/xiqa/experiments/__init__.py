"""Experiments from recipes: images, networks and methods in, long rows with intervals and tables out.

Start with `recipe`, which says what an experiment is, then `run`; `measure` is one batch of it, `tables` what
is said of the rows.
"""
