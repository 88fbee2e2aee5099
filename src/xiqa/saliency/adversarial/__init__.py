"""The smallest changes that flip a verdict, as searches and as maps.

Start with `flips`.
"""
