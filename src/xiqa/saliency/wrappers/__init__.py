"""Methods that run another method, once or on altered images.

Start with `averages`.
"""
