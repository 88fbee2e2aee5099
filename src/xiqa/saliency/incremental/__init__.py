"""Passes of images that differ in small windows: only what changes goes through the early layers.

Start with `passes`; `rules` knows how far a change reaches through each operation, `windows` cuts and pastes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xiqa.saliency.probe import TorchProbe

if TYPE_CHECKING:
    from xiqa.saliency.arrays import Array
    from xiqa.saliency.probe import Probe

__all__ = ["incremental"]


def incremental(probe: Probe, image: Array | None = None) -> Probe:
    """A probe for images of which each differs in a small window from another; a network's is faster.

    Args:
        probe: Any probe.
        image: What all images of a call are changed from, ``(C, H, W)``; without it each is compared with
            the one before it.

    Returns:
        Of a `TorchProbe` one that passes only what changes through the network's early layers
        (`xiqa.saliency.incremental.passes`), with the same logits up to rounding; else, and for a volume, the
        probe itself.
    """
    if not isinstance(probe, TorchProbe) or (image is not None and len(image.shape) != 3):
        return probe  # a volume passes whole
    from xiqa.saliency.incremental.passes import IncrementalProbe

    return IncrementalProbe(probe, image)
