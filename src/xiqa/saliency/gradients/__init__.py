"""The gradient at the image, and its averages along paths and under noise.

Start with `gradient`.
"""
