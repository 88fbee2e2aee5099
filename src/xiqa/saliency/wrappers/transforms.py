r"""Small changes of an image that should not change where its class is: what EVET averages over.

A geometric transform moves the content, so its maps are moved back; an intensity transform leaves it in
place. All act on inputs as the network takes them, whatever their range: intensity transforms refer to each
image's own minimum, mean and maximum, so that they mean the same on standardised inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, median_filter
from torch import Tensor

from xiqa.errors import SaliencyError

__all__ = ["GEOMETRIC", "INTENSITY", "Transform", "transform"]


@dataclass(frozen=True, slots=True)
class Transform:
    """One change of images, and the way back for maps.

    Attributes:
        apply: Images ``(N, C, H, W)`` to changed images of the same size.
        undo: Maps ``(N, 1, H, W)`` of changed images, back on the original grid; 0 where nothing is known.
    """

    apply: Callable[[Tensor], Tensor]
    undo: Callable[[Tensor], Tensor]


def _affine(rotate: float = 0.0, zoom: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> Transform:
    """Turn (degrees), enlarge and move (fractions of the sides) about the centre; bilinear, edge repeated."""

    def warp(values: Tensor, inverse: bool, padding: str) -> Tensor:
        rows, columns = values.shape[-2:]
        cos, sin = math.cos(math.radians(rotate)), math.sin(math.radians(rotate))
        # in pixels, so that a turn is a turn on images that are not square
        matrix = np.array(
            [[cos * zoom, -sin * zoom, shift[1] * columns], [sin * zoom, cos * zoom, shift[0] * rows]]
        )
        square = np.vstack([matrix, [0, 0, 1]])
        pull = square if inverse else np.linalg.inv(square)
        half = np.diag([columns / 2, rows / 2, 1.0])
        theta = (np.linalg.inv(half) @ pull @ half)[:2]
        grid = F.affine_grid(
            torch.as_tensor(theta).to(values).expand(len(values), 2, 3),
            list(values.shape),
            align_corners=False,
        )
        return F.grid_sample(values, grid, mode="bilinear", padding_mode=padding, align_corners=False)

    return Transform(lambda x: warp(x, False, "border"), lambda m: warp(m, True, "zeros"))


def _keep(change: Callable[[Tensor], Tensor]) -> Transform:
    """An intensity transform: maps stay where they are."""
    return Transform(change, lambda maps: maps)


def _by_array(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Tensor], Tensor]:
    """Let a function of arrays ``(N, C, H, W)`` work on tensors."""
    return lambda images: torch.as_tensor(
        np.ascontiguousarray(change(images.detach().cpu().numpy())), dtype=images.dtype, device=images.device
    )


def _contrast(factor: float) -> Callable[[Tensor], Tensor]:
    def change(images: Tensor) -> Tensor:
        middle = images.mean(dim=(1, 2, 3), keepdim=True)
        return middle + factor * (images - middle)

    return change


def _gamma(power: float) -> Callable[[Tensor], Tensor]:
    def change(images: Tensor) -> Tensor:
        low, high = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
        span = torch.where(high > low, high - low, torch.ones_like(high))
        return low + span * ((images - low) / span).clamp(0, 1) ** power

    return change


def _equalise(images: Tensor) -> Tensor:
    """Histogram equalisation of each channel in its own range: a value becomes the share of smaller ones."""
    flat = images.flatten(2)
    ordered = flat.sort(dim=2).values.contiguous()
    share = torch.searchsorted(ordered, flat.contiguous(), right=True).to(images.dtype) / flat.shape[2]
    low, high = ordered[..., :1], ordered[..., -1:]
    return (low + share * (high - low)).reshape(images.shape)


def _sharpen(images: np.ndarray) -> np.ndarray:
    return np.asarray(2 * images - gaussian_filter(images, 1.0, axes=(-2, -1), mode="reflect"))


GEOMETRIC: dict[str, Transform] = {
    "hflip": Transform(lambda x: x.flip(-1), lambda m: m.flip(-1)),
    "vflip": Transform(lambda x: x.flip(-2), lambda m: m.flip(-2)),
    "rotate_left": _affine(rotate=-10.0),
    "rotate_right": _affine(rotate=10.0),
    "shift_right": _affine(shift=(0.0, 0.05)),
    "shift_left": _affine(shift=(0.0, -0.05)),
    "shift_down": _affine(shift=(0.05, 0.0)),
    "shift_up": _affine(shift=(-0.05, 0.0)),
    "zoom_in": _affine(zoom=1.1),
    "zoom_out": _affine(zoom=0.9),
}

INTENSITY: dict[str, Transform] = {
    "contrast_up": _keep(_contrast(1.25)),
    "contrast_down": _keep(_contrast(0.8)),
    "gamma_up": _keep(_gamma(1.25)),
    "gamma_down": _keep(_gamma(0.8)),
    "equalise": _keep(_equalise),
    "blur": _keep(_by_array(lambda x: gaussian_filter(x, 1.0, axes=(-2, -1), mode="reflect"))),
    "median": _keep(_by_array(lambda x: median_filter(x, 3, axes=(-2, -1), mode="reflect"))),
    "sharpen": _keep(_by_array(_sharpen)),
}


def transform(name: str) -> Transform:
    """A transform by its name in `GEOMETRIC` or `INTENSITY`.

    Raises:
        SaliencyError: There is none of that name.
    """
    transform = GEOMETRIC.get(name) or INTENSITY.get(name)
    if transform is None:
        raise SaliencyError(
            "unknown image transform", expected=" or ".join((*GEOMETRIC, *INTENSITY)), got=repr(name)
        )
    return transform
