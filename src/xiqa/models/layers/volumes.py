r"""Where a layer's output of a volume has its places, and which axis its channels are on.

Behind a volume ``(N, C, D, H, W)`` convolutions give ``(N, C, d, h, w)``, some transformers
``(N, d, h, w, C)``. A side of the places is never longer than the volume's, which mostly leaves one of the
two. Where both are left, the input is moved by noise under a slope along each axis, as
`xiqa.models.layers.places` does for images, and the order whose places follow their centres of influence
is taken. What has no such order (tokens in a row, pooled features) has no places here.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from xiqa.models.layers.places import Layout, itself, layouts, noise_step, outputs_one_by_one

__all__ = ["layouts_of_either", "volume_layouts"]

_DRAWS = 4
_CLEAR = 0.05  # by how much one order must fit better than the other
_known: WeakKeyDictionary[nn.Module, dict[Any, Layout | None]] = WeakKeyDictionary()


def layouts_of_either(
    network: nn.Module, outputs: Mapping[str, Tensor], images: Tensor
) -> dict[str, Layout | None]:
    """The layouts of some layers for images or volumes; see `layouts` and `volume_layouts`."""
    return (layouts if images.dim() == 4 else volume_layouts)(network, outputs, images)


def volume_layouts(
    network: nn.Module, outputs: Mapping[str, Tensor], images: Tensor
) -> dict[str, Layout | None]:
    """The layouts of some layers for volumes of one size; None where there are no places.

    Args:
        network: In evaluation mode.
        outputs: What the layers gave for the volumes, by names for ``network.get_submodule``.
        images: ``(N, C, D, H, W)``.
    """
    known = _known.setdefault(itself(network), {})
    found: dict[str, Layout | None] = {}
    for name, output in outputs.items():
        key = (name, tuple(output.shape[1:]), tuple(images.shape[1:]))
        if key not in known:
            fits = output.dim() == 5 and len(output) == len(images)
            known[key] = _layout(network, name, tuple(output.shape[1:]), images) if fits else None
        found[name] = known[key]
    return found


def _layout(network: nn.Module, name: str, shape: tuple[int, ...], images: Tensor) -> Layout | None:
    """The order of one layer's output, ``shape`` of one volume."""
    sides = tuple(images.shape[2:])
    likely = [axis for axis in (1, 4) if all(map(int.__le__, _places(shape, axis), sides))]
    if len(likely) == 2:
        likely = _followed(network, name, shape, images)
    if len(likely) != 1:
        return None
    grid = _places(shape, likely[0])
    return Layout((1, *shape), likely[0], torch.arange(prod(grid)).reshape(grid))


def _places(shape: tuple[int, ...], channel: int) -> tuple[int, ...]:
    """Sides of the places of ``(C, d, h, w)`` (channel 1) or ``(d, h, w, C)`` (channel 4)."""
    return shape[1:] if channel == 1 else shape[:3]


def _followed(network: nn.Module, name: str, shape: tuple[int, ...], images: Tensor) -> list[int]:
    """The axis of the channels in the order that follows the volume best; none where neither does clearly."""
    source = torch.Generator().manual_seed(0)
    square = torch.zeros(shape, dtype=torch.float64)
    along = torch.zeros(3, *shape, dtype=torch.float64)
    for _ in range(_DRAWS):
        base, noise = (torch.randn(images.shape[1:], generator=source).to(images) for _ in range(2))
        slopes = [_slope(images, axis) for axis in range(3)]
        moves = [noise, *(slope * noise for slope in slopes)]
        copies = [base, *(base + noise_step(network) * move for move in moves)]
        outputs = outputs_one_by_one(network, [name], torch.stack(copies), len(images))[name].double().cpu()
        plain, *moved = outputs[1:] - outputs[0]
        square += plain.square()
        along += torch.stack([plain * other for other in moved])
    fits = {1: _fit(along, square, 0), 4: _fit(along, square, 3)}
    best, other = sorted(fits, key=lambda axis: -fits[axis])
    return [best] if fits[best] > 0.5 and fits[best] - fits[other] > _CLEAR else []


def _slope(images: Tensor, axis: int) -> Tensor:
    """From -1 to 1 along one spatial axis."""
    shape = [1, 1, 1]
    shape[axis] = int(images.shape[2 + axis])
    return torch.linspace(-1, 1, shape[axis]).reshape(shape).to(images)


def _fit(along: Tensor, square: Tensor, channel: int) -> float:
    """The smallest correlation of slices, rows and columns with the centres of influence."""
    total = square.sum(channel)
    centres = along.sum(channel + 1) / torch.where(total > 0, total, torch.nan)
    fits = []
    for axis, values in enumerate(centres):
        if values.shape[axis] == 1:
            continue
        order = torch.arange(values.shape[axis], dtype=values.dtype)
        order = order.reshape([-1 if other == axis else 1 for other in range(3)]).expand_as(values)
        known = values.isfinite()
        fits.append(float(torch.corrcoef(torch.stack([values[known], order[known]]))[0, 1].nan_to_num(0)))
    return min(fits, default=1.0)
