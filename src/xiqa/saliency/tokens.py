"""What a layer gives, as feature maps: channels first, each value at the place that it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xiqa.errors import SaliencyError
from xiqa.models.layers.places import Layout
from xiqa.models.layers.volumes import layouts_of_either
from xiqa.saliency.outputs import taking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

__all__ = ["feature_map", "layout_of", "layouts_of"]


def layouts_of(outputs: Mapping[str, Tensor], images: Tensor, network: nn.Module) -> dict[str, Layout]:
    """Where the places of some layers' outputs are; see `xiqa.models.layers.places`.

    Args:
        outputs: What the layers gave for the images, by name.
        images: ``(N, C, H, W)``.
        network: The network they are layers of.

    Raises:
        SaliencyError: An output has no places, or none that could be found.
    """
    placed = {}
    with taking(network, images):
        known = layouts_of_either(network, outputs, images)
    for name, layout in known.items():
        if layout is None:
            raise SaliencyError(
                f"layer {name!r} has no places to explain",
                expected="feature maps or tokens whose rows and columns follow the image's",
                got=f"shape {tuple(outputs[name].shape)} of images {tuple(images.shape)}",
                todo="choose a layer before the pooling, or one whose output is not cut into windows",
            )
        placed[name] = layout
    return placed


def layout_of(output: Tensor, images: Tensor, name: str, network: nn.Module) -> Layout:
    """`layouts_of` for one layer."""
    return layouts_of({name: output}, images, network)[name]


def feature_map(output: Tensor, images: Tensor, name: str, network: nn.Module) -> Tensor:
    """A layer's output (or the gradient there) as feature maps.

    Args:
        output: ``(N, C, h, w)``, ``(N, h, w, C)``, ``(N, T, C)``, or windows of the like.
        images: ``(N, C, H, W)``, what the output belongs to.
        name: Name of the layer.
        network: The network it is a layer of.

    Returns:
        ``(N, C, h, w)``; class and register tokens are left out.

    Raises:
        SaliencyError: The output has no places.
    """
    return layout_of(output, images, name, network).arrange(output)
