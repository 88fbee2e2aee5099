r"""Recipro-CAM: what the network says when one place of a layer is all that it sees."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from xiqa.errors import SaliencyError
from xiqa.saliency.arrays import Array, library, like, places
from xiqa.saliency.perturbation.copies import score_logits
from xiqa.saliency.registry import Needs, probe_method

if TYPE_CHECKING:
    from collections.abc import Callable

    from xiqa.saliency.cams.pooledhead import PooledHead
    from xiqa.saliency.probe import ProbeRecord
    from xiqa.saliency.tail import Tail
    from xiqa.types import FloatArray

__all__ = ["logits_of_places", "place_masks", "reciprocam"]

_CHUNK = 64  # masks that pass at once, where the rest of the network does not tell


def place_masks(grid: tuple[int, ...], kernel: str) -> FloatArray:
    """One mask a place, ``(h w, h, w)``: the place alone, or a 3x3 Gaussian around it, cut at the border.

    Args:
        grid: (rows, columns) of the layer, (slices, rows, columns) of a volume, whose Gaussian is 3x3x3.
        kernel: ``1x1``, ``neighbour`` or ``centre``.

    Raises:
        SaliencyError: The kernel is not known.

    >>> place_masks((1, 3), "neighbour")[0]
    array([[0.25 , 0.125, 0.   ]], dtype=float32)
    """
    if kernel not in ("1x1", "neighbour", "centre"):
        raise SaliencyError("unknown kernel", expected="1x1, neighbour or centre", got=repr(kernel))
    spread = 0.0 if kernel == "1x1" else 0.25
    along = ((1 - 2 * spread) * np.eye(side) + spread * _beside(side) for side in grid)
    return reduce(np.kron, along).reshape(-1, *grid).astype(np.float32)


def _beside(side: int) -> FloatArray:
    """``(side, side)``, 1 where two places of a row lie side by side."""
    return (np.eye(side, k=1) + np.eye(side, k=-1)).astype(np.float32)


def logits_of_places(
    rest: Tail | PooledHead | Callable[[Array], Array], features: Array, grid: tuple[int, ...], kernel: str
) -> Array:
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
    masks = like(place_masks(grid, kernel), features)
    if hasattr(rest, "under_masks"):  # a closed form
        if kernel == "centre":
            return rest(features[0].flatten(1).T * masks.mean(dim=places(masks, 1))[:, None])
        return rest.under_masks(features, masks)
    both = library(features)
    flat = masks.reshape(len(masks), -1)  # (places, places)
    tokens = len(features.shape) == 3
    values = features[0] if tokens else features[0].reshape(features.shape[1], -1).T  # (prefix + places, C)
    prefix = values[: len(values) - len(flat)]
    seen_from = values[len(prefix) :]
    chunk = getattr(rest, "chunk", _CHUNK)
    parts = []
    for start in range(0, len(flat), chunk):
        weight = flat[start : start + chunk, :, None]
        seen = seen_from[start : start + chunk, None] if kernel == "centre" else seen_from[None]
        kept = both.broadcast_to(prefix, (len(weight), *prefix.shape))
        copies = both.concatenate([kept, weight * seen], axis=1)
        parts.append(rest(copies if tokens else copies.swapaxes(1, 2).reshape(len(weight), -1, *grid)))
    return both.concatenate(parts)


@probe_method(
    "reciprocam", cite="byun2024reciprocam", needs=Needs.OUTPUT | Needs.NETWORK, portable=True, dims=(2, 3)
)
def reciprocam(
    sample: ProbeRecord, *, kernel: str = "1x1", output: str = "probability", closed_form: bool = True
) -> Array:
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
    rest = sample.rest or _behind(sample.layer, closed_form)
    features = sample.layer.output
    grid = tuple(features.shape[2:])
    logits = logits_of_places(rest, features, grid, kernel)
    return score_logits(sample, logits, output).reshape(grid)


def _behind(layer: Any, closed_form: bool) -> PooledHead | Callable[[Array], Array]:
    """What lies behind a layer, as a function of feature maps, which it lays out for the network."""
    from xiqa.saliency.cams import pooledhead  # noqa: PLC0415 - an exported graph needs no torch

    rest = pooledhead.behind(layer, closed_form=closed_form)
    if isinstance(rest, pooledhead.PooledHead):
        return rest
    layout = pooledhead.behind_layout(layer, rest.features)
    return lambda maps: rest(layout.restore(maps.to(rest.features), rest.features))
