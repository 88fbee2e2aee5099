"""Methods that alter the image and watch the score: occlusion, RISE, LIME, KernelSHAP.

Start with `occlusion`; `copies` is what they share.
"""
