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
    grid of patches, whose sides are in the ratio of the image's.

    Args:
        output: ``(N, C, h, w)`` or ``(N, T, C)``.
        images: ``(N, C, H, W)``, for the ratio of the grid's sides.
        name: Name of the layer, for the message.
        network: For its ``num_prefix_tokens``, where it tells them (timm); else 0, 1, 2 and 5 are tried.

    Raises:
        SaliencyError: The output has no places.
    """
    if output.dim() == 4:
        return output
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


def _grid(tokens: int, height: int, width: int) -> tuple[int, int] | None:
    """Rows and columns of a grid like the image's, if there is one.

    >>> _grid(12, 96, 128)
    (3, 4)
    """
    if tokens <= 0:
        return None
    rows = round(math.sqrt(tokens * height / width))
    columns = tokens // rows if rows else 0
    return (rows, columns) if rows * columns == tokens else None
