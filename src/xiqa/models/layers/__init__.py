"""Which layers of a network are explained, and where the places of what they give are.

`names` chooses the layers, `places` finds their layouts, `trunk` tells what all of a network passes through.
"""

from xiqa.models.layers.names import TargetLayers, target_layers

__all__ = ["TargetLayers", "target_layers"]
