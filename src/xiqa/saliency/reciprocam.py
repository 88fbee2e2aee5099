r"""Recipro-CAM: what the network says when one place of a layer is all that it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency.pooledhead import pooled_head

if TYPE_CHECKING:
    from xiqa.saliency.tail import Tail

__all__ = ["logits_of_places", "place_masks"]


def place_masks(grid: tuple[int, int], kernel: str) -> Tensor:
    """One mask a place, ``(h w, h, w)``: the place alone, or a 3x3 Gaussian around it, cut at the border.

    Args:
        grid: (rows, columns) of the layer.
        kernel: ``1x1``, ``neighbour`` or ``centre``.

    Raises:
        SaliencyError: The kernel is not known.

    >>> place_masks((1, 3), "neighbour")[0]
    tensor([[0.2500, 0.1250, 0.0000]])
    """
    if kernel not in ("1x1", "neighbour", "centre"):
        raise SaliencyError("unknown kernel", expected="1x1, neighbour or centre", got=repr(kernel))
    places = torch.eye(grid[0] * grid[1]).reshape(-1, 1, *grid)
    if kernel != "1x1":
        side = torch.tensor([0.25, 0.5, 0.25])
        places = F.conv2d(places, (side[:, None] * side)[None, None], padding=1)
    return places[:, 0]


def logits_of_places(tail: Tail, grid: tuple[int, int], kernel: str, *, closed_form: bool = True) -> Tensor:
    r"""Logits ``(h w, K)`` of the network for each place of the layer.

    With the mask :math:`G_u` of place :math:`u` the layer's output becomes

    * ``1x1`` and ``neighbour``: :math:`A'(v) = G_u(v)\,A(v)`, the features around the place, weighted;
    * ``centre``: :math:`A'(v) = G_u(v)\,A(u)`, the place's own features, spread (the authors' code).

    A transformer's prefix tokens (class token, registers) are always kept: the class is read off them.

    Args:
        tail: What is behind the layer, for one image.
        grid: (rows, columns) of the layer's places.
        kernel: ``1x1``, ``neighbour`` or ``centre``.
        closed_form: Whether to use the head's closed form where it has one; the result is the same.
    """
    features, masks = tail.features, place_masks(grid, kernel).to(tail.features)
    head = pooled_head(tail) if closed_form else None
    if head is not None and kernel == "centre":
        return head(features[0].flatten(1).T * masks.mean(dim=(1, 2))[:, None])
    if head is not None:
        return head.under_masks(features, masks)
    flat = masks.flatten(1)  # (places, places)
    tokens = features.dim() == 3
    values = features[0] if tokens else features[0].flatten(1).T  # (prefix + places, C)
    prefix = values[: len(values) - len(flat)]
    places = values[len(prefix) :]
    parts = []
    for start in range(0, len(flat), tail.chunk):
        weight = flat[start : start + tail.chunk, :, None]
        seen = places[start : start + tail.chunk, None] if kernel == "centre" else places[None]
        copies = torch.cat([prefix.expand(len(weight), *prefix.shape), weight * seen], dim=1)
        parts.append(tail(copies if tokens else copies.transpose(1, 2).unflatten(2, grid)))
    return torch.cat(parts)
