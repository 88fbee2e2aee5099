"""Class activation maps: sums of a layer's channels, weighted by what each channel does for the class.

Start with `gradcam`; NormGrad is in `normgrad`.
"""
