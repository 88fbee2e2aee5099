r"""One map from the maps of several layers.

With :math:`M_j` the map of layer j, enlarged bilinearly (``align_corners=False``) to a common grid:

=============  ===========================================================  ========================
``combine``    result                                                       common grid
=============  ===========================================================  ========================
``geometric``  :math:`(\prod_j M_j)^{1/J}`                                  the finest layer's
``product``    :math:`\prod_j M_j`                                          the finest layer's
``weighted``   :math:`\prod_j M_j^{w_j}, \ \sum_j w_j = 1`                  the finest layer's
``mean``       :math:`\frac{1}{J} \sum_j M_j / \max_u |M_j(u)|`             the finest layer's
``reference``  :math:`s(\prod_j s(M_j))`, s from [min, max] to [0, 1]       the image's
=============  ===========================================================  ========================

Products are of positive parts. The scale of one layer's map changes a product by a factor only, so nothing is
stretched before it. ``reference`` does what the code published with ozer2021explainable does, where a
constant layer makes the product forget the layers before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency.arrays import enlarge, places, stretch

__all__ = ["COMBINATIONS", "combine_layers", "concentration", "enlarge", "stretch"]

COMBINATIONS = ("geometric", "product", "weighted", "mean", "reference")


def concentration(maps: Tensor) -> Tensor:
    r"""How unevenly a map is spread over its places, from 0 (constant) to 1 (one place).

    .. math:: 1 - \frac{-\sum_u p_u \log p_u}{\log hw}, \qquad p_u = \frac{M(u)}{\sum_v M(v)}

    Args:
        maps: ``(N, h, w)``; the positive part counts.

    Returns:
        ``(N,)``; 0 for a map without a positive value.

    >>> concentration(torch.tensor([[[1.0, 1.0]], [[0.0, 3.0]]]))
    tensor([0., 1.])
    """
    flat = maps.relu().flatten(1)
    if flat.shape[1] == 1:
        return torch.zeros_like(flat[:, 0])
    total = flat.sum(dim=1, keepdim=True)
    share = flat / torch.where(total > 0, total, torch.ones_like(total))
    entropy = -torch.xlogy(share, share).sum(dim=1) / torch.log(torch.tensor(float(flat.shape[1])))
    return torch.where(total[:, 0] > 0, 1 - entropy, torch.zeros_like(entropy)).clamp(0, 1)


def combine_layers(
    maps: Sequence[Tensor],
    combine: str = "geometric",
    *,
    weights: Sequence[float] | None = None,
    image_size: tuple[int, ...] | None = None,
) -> Tensor:
    """One map a sample from the maps of several layers; see the table above.

    Args:
        maps: ``(N, [d_j,] h_j, w_j)`` a layer.
        combine: One of `COMBINATIONS`.
        weights: A weight a layer for ``weighted``, not negative. By default each sample weighs its layers by
            the `concentration` of their maps: a layer that points at few places says more about where.
        image_size: Rows and columns of the image, the grid of ``reference``.

    Returns:
        ``(N, h, w)``.

    Raises:
        SaliencyError: An unknown combination, or weights that do not fit.
    """
    if combine not in COMBINATIONS:
        raise SaliencyError(
            "unknown combination of layers", expected=", ".join(COMBINATIONS), got=repr(combine)
        )
    if weights is not None and (combine != "weighted" or len(weights) != len(maps) or min(weights) < 0):
        raise SaliencyError(
            "weights do not fit",
            expected=f"{len(maps)} weights >= 0 with combine=weighted",
            got=f"{weights} with combine={combine}",
        )
    if combine == "reference":
        return _reference(maps, image_size or _finest(maps))
    grid = _finest(maps)
    if combine == "mean":
        peaks = [values.abs().amax(dim=places(values, 1), keepdim=True) for values in maps]
        scaled = [
            values / torch.where(top > 0, top, torch.ones_like(top))
            for values, top in zip(maps, peaks, strict=True)
        ]
        return torch.stack([enlarge(values, grid) for values in scaled]).mean(dim=0)
    exponents = _exponents(maps, combine, weights)
    return _power_product([enlarge(values.relu(), grid) for values in maps], exponents)


def _finest(maps: Sequence[Tensor]) -> tuple[int, ...]:
    """([slices,] rows, columns) of the finest map, each side on its own."""
    return tuple(max(int(values.shape[axis]) for values in maps) for axis in places(maps[0], 1))


def _exponents(maps: Sequence[Tensor], combine: str, weights: Sequence[float] | None) -> Tensor:
    """Exponent of each layer and sample, ``(J, N)``."""
    count = len(maps)
    if combine == "weighted":
        raw = (
            torch.stack([concentration(values) for values in maps])
            if weights is None
            else torch.tensor(weights, dtype=maps[0].dtype, device=maps[0].device)[:, None].expand(
                -1, maps[0].shape[0]
            )
        )
        total = raw.sum(dim=0, keepdim=True)
        return torch.where(total > 0, raw / torch.where(total > 0, total, torch.ones_like(total)), 1 / count)
    value = 1.0 if combine == "product" else 1 / count
    return torch.full((count, maps[0].shape[0]), value, dtype=maps[0].dtype, device=maps[0].device)


def _power_product(maps: Sequence[Tensor], exponents: Tensor) -> Tensor:
    """The product of powers, in logarithms: small numbers multiplied would underflow to ties at zero."""
    total = torch.zeros_like(maps[0])
    zero = torch.zeros_like(maps[0], dtype=torch.bool)
    for values, exponent in zip(maps, exponents, strict=True):
        power = exponent.reshape(-1, *[1] * len(places(values, 1)))
        zero |= (values == 0) & (power > 0)
        total += power * torch.where(values == 0, torch.ones_like(values), values).log()
    return torch.where(zero, torch.zeros_like(total), total.exp())


def _reference(maps: Sequence[Tensor], size: tuple[int, ...]) -> Tensor:
    product: Tensor | None = None
    fresh = torch.zeros(maps[0].shape[0], *[1] * len(size), dtype=torch.bool, device=maps[0].device)
    for values in maps:
        layer = stretch(enlarge(values, size))
        product = layer if product is None else torch.where(fresh, layer, product * layer)
        fresh = layer.amax(dim=places(layer, 1), keepdim=True) == 0  # constant: the next layer starts anew
    assert product is not None
    return stretch(product)
