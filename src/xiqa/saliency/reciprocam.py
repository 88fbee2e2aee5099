r"""Recipro-CAM: what the network says when one place of a layer is all that it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency.perturb import score_logits
from xiqa.saliency.pooledhead import PooledHead, behind
from xiqa.saliency.registry import Needs, probe_method

if TYPE_CHECKING:
    from xiqa.saliency.session import ProbeRecord
    from xiqa.saliency.tail import Tail

__all__ = ["logits_of_places", "place_masks", "reciprocam"]


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


def logits_of_places(rest: Tail | PooledHead, features: Tensor, grid: tuple[int, int], kernel: str) -> Tensor:
    r"""Logits ``(h w, K)`` of the network for each place of the layer.

    With the mask :math:`G_u` of place :math:`u` the layer's output becomes

    * ``1x1`` and ``neighbour``: :math:`A'(v) = G_u(v)\,A(v)`, the features around the place, weighted;
    * ``centre``: :math:`A'(v) = G_u(v)\,A(u)`, the place's own features, spread (the authors' code).

    A transformer's prefix tokens (class token, registers) are always kept: the class is read off them.

    Args:
        rest: What is behind the layer.
        features: The layer's output for one image, as the network passes it on.
        grid: (rows, columns) of the layer's places.
        kernel: ``1x1``, ``neighbour`` or ``centre``.
    """
    masks = place_masks(grid, kernel).to(features)
    if isinstance(rest, PooledHead):
        if kernel == "centre":
            return rest(features[0].flatten(1).T * masks.mean(dim=(1, 2))[:, None])
        return rest.under_masks(features, masks)
    flat = masks.flatten(1)  # (places, places)
    tokens = features.dim() == 3
    values = features[0] if tokens else features[0].flatten(1).T  # (prefix + places, C)
    prefix = values[: len(values) - len(flat)]
    places = values[len(prefix) :]
    parts = []
    for start in range(0, len(flat), rest.chunk):
        weight = flat[start : start + rest.chunk, :, None]
        seen = places[start : start + rest.chunk, None] if kernel == "centre" else places[None]
        copies = torch.cat([prefix.expand(len(weight), *prefix.shape), weight * seen], dim=1)
        parts.append(rest(copies if tokens else copies.transpose(1, 2).unflatten(2, grid)))
    return torch.cat(parts)


@probe_method("reciprocam", cite="byun2024reciprocam", needs=Needs.OUTPUT | Needs.NETWORK)
def reciprocam(
    sample: ProbeRecord, *, kernel: str = "1x1", output: str = "probability", closed_form: bool = True
) -> Tensor:
    r"""Recipro-CAM: the score when one place of the layer is all that the rest of the network sees.

    .. math:: S(u) = p_c\big(t(G_u \circ A)\big)

    with :math:`t` what is behind the layer and :math:`G_u` one at :math:`u` (or a 3x3 Gaussian around it). On
    transformers the class token is kept, as in byun2023vitreciprocam. The network runs up to the layer once,
    not once a place; behind a layer that is pooled and passed to one linear layer nothing runs at all, and
    the logits are CAM's up to scale and offset. The source stretches the map to [0, 1]; here it is not.

    Args:
        sample: The image, its layer and the network.
        kernel: ``1x1``; ``neighbour``: features around the place, weighted by a Gaussian; or ``centre``: the
            place's own features, spread by it (what the authors' code does).
        output: ``probability`` (the authors' code) or ``logit``.
        closed_form: Whether to use the head's closed form where it has one; the map is the same.

    Returns:
        ``(h, w)``. Source: byun2024reciprocam, section 3.
    """
    assert sample.layer is not None
    rest = behind(sample.layer, closed_form=closed_form)
    features = sample.layer.output if isinstance(rest, PooledHead) else rest.features
    grid = (int(sample.layer.output.shape[2]), int(sample.layer.output.shape[3]))
    logits = logits_of_places(rest, features, grid, kernel)
    return score_logits(sample, logits, output).reshape(grid)
