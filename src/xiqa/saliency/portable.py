"""Probe methods on a model that is not PyTorch's, such as an exported graph: NumPy arrays, no torch.

What such a model has to offer is a `CutModel`: logits of images, and where a method masks features, the
output of a layer and what lies behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from xiqa.errors import SaliencyError
from xiqa.saliency.method import Method
from xiqa.saliency.probe import ProbeRecord
from xiqa.saliency.registry import Bound, Needs, bind, portable_methods

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.saliency.capture import LayerRecord
    from xiqa.types import FloatArray

__all__ = ["CutModel", "bind_portable", "probe_map"]


class CutModel(Protocol):
    """A model that can be run whole, and cut at some layers."""

    def __call__(self, images: FloatArray) -> FloatArray:
        """Logits ``(N, K)`` of images ``(N, C, H, W)``."""
        ...

    def features(self, layer: str, image: FloatArray) -> FloatArray:
        """Output ``(1, C, h, w)`` of a layer for one image ``(C, H, W)``."""
        ...

    def behind(self, layer: str, image: FloatArray) -> Callable[[FloatArray], FloatArray]:
        """What lies behind a layer: features ``(M, C, h, w)`` in place of its own to logits ``(M, K)``."""
        ...


@dataclass(frozen=True, eq=False)
class _Output:
    """The one thing that a portable method sees of a layer."""

    output: FloatArray


def bind_portable(method: Method | str) -> Bound:
    """`xiqa.saliency.registry.bind` for a method that needs no torch.

    Raises:
        SaliencyError: The method needs torch, or combines several layers.
    """
    method = Method.parse(method)
    if method.name not in portable_methods() or method.of is not None:
        names = ", ".join(portable_methods())
        raise SaliencyError(
            f"{method} needs PyTorch", expected=f"one of {names}", todo="run it on the bundle"
        )
    bound = bind(method)
    layers = bound.params.get("layers")
    if layers == "multi" or isinstance(layers, tuple):
        raise SaliencyError(
            f"{method.name} reads one layer here", expected="layers=last or a layer's name", got=str(layers)
        )
    return bound


def probe_map(model: CutModel, image: FloatArray, bound: Bound, target: int, last: str) -> FloatArray:
    """One method's raw map of one image.

    Args:
        model: The model.
        image: ``(C, H, W)``, as the model takes it.
        bound: From `bind_portable`.
        target: The explained class.
        last: The layer that ``layers=last`` means.

    Returns:
        ``(h, w)``, at the layer's or the image's size; NaN where the image is not finite.
    """
    name = str(bound.params.get("layers", ""))
    name = last if name == "last" else name
    finite = bool(np.isfinite(image).all())
    image = image if finite else np.zeros_like(image)
    reads = Needs.OUTPUT in bound.info.needs
    sample = ProbeRecord(
        image=cast("Tensor", image),
        target=target,
        probe=model,
        layer=cast("LayerRecord", _Output(model.features(name, image))) if reads else None,
        rest=model.behind(name, image) if Needs.NETWORK in bound.info.needs else None,
    )
    values: FloatArray = bound.info.function(sample, **bound.own)
    return values if finite else np.full_like(values, np.nan)
