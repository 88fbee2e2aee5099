"""What a layer gives, as feature maps: convolutional outputs as they are, tokens laid out on their grid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from xiqa.errors import SaliencyError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["feature_map"]


def feature_map(output: Tensor, images: Tensor, name: str, network: nn.Module) -> Tensor:
    """Lay a layer's output (or the gradient there) out as ``(N, C, h, w)``.

    A vision transformer's tokens ``(N, T, C)`` lose the prefix tokens (class, registers) and are put on the
    grid of patches, whose sides are in the ratio of the image's. Networks that work with channels last
    (timm's Swin, which says so by ``output_fmt``) have them put first.

    Args:
        output: ``(N, C, h, w)``, ``(N, h, w, C)`` or ``(N, T, C)``.
        images: ``(N, C, H, W)``, for the ratio of the grid's sides.
        name: Name of the layer, for the message.
        network: For its ``num_prefix_tokens``, where it tells them (timm); else 0, 1, 2 and 5 are tried.

    Raises:
        SaliencyError: The output has no places.
    """
    if output.dim() == 4:
        return output.permute(0, 3, 1, 2) if _channels_last(output, images, network) else output
    if output.dim() == 3:
        known = getattr(network, "num_prefix_tokens", None)
        for prefix in (0, 1, 2, 5) if known is None else (int(known),):
            grid = _grid(output.shape[1] - prefix, images.shape[-2], images.shape[-1])
            if grid is not None:
                patches = output[:, prefix:].transpose(1, 2)
                return patches.reshape(len(output), -1, *grid)
    raise SaliencyError(
        f"layer {name!r} has no places to explain",
        expected="feature maps (N, C, h, w), or tokens (N, T, C) on a grid",
        got=f"shape {tuple(output.shape)}",
        todo="choose a layer before the pooling",
    )


def _channels_last(output: Tensor, images: Tensor, network: nn.Module) -> bool:
    """Whether the channels are the last axis: the network says so, and the sides fit the image's only so."""
    if "NHWC" not in str(getattr(network, "output_fmt", "")):
        return False
    ratio = images.shape[-2] / images.shape[-1]
    return abs(output.shape[1] / output.shape[2] / ratio - 1) < abs(
        output.shape[2] / output.shape[3] / ratio - 1
    )


def _grid(tokens: int, height: int, width: int) -> tuple[int, int] | None:
    """Rows and columns of a grid in the ratio of the image's sides (within a tenth), if there is one.

    >>> _grid(12, 96, 128)
    (3, 4)
    """
    if tokens <= 0:
        return None
    rows = round(math.sqrt(tokens * height / width))
    columns = tokens // rows if rows else 0
    if rows * columns != tokens or abs(rows * width / (columns * height) - 1) > 0.1:
        return None
    return rows, columns
