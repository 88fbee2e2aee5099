"""Regions of an image that are hidden together: the features of LIME and KernelSHAP."""

from __future__ import annotations

import math

import numpy as np
import torch
from skimage.segmentation import slic
from torch import Tensor

from xiqa.errors import SaliencyError

__all__ = ["grid_regions", "regions", "slic_regions"]


def regions(image: Tensor, kind: str, count: int) -> Tensor:
    """Regions of one image ``(C, H, W)``: ``slic`` superpixels or a ``grid``; see the two functions.

    Raises:
        SaliencyError: The kind is not known.
    """
    if kind == "slic":
        return slic_regions(image, count)
    if kind == "grid":
        return grid_regions((int(image.shape[-2]), int(image.shape[-1])), count)
    raise SaliencyError("unknown regions", expected="'slic' or 'grid'", got=repr(kind))


def slic_regions(image: Tensor, count: int) -> Tensor:
    """SLIC superpixels of ``(C, H, W)``: labels ``(H, W)`` from 0, at most about ``count`` of them.

    The intensities are first stretched to [0, 1], so that standardised inputs give the same regions as the
    picture they came from; a little smoothing (1 px) keeps noise from tearing regions to shreds.
    """
    values = image.detach().cpu().double().numpy()
    span = values.max() - values.min()
    stretched = (values - values.min()) / (span if span > 0 else 1.0)
    labels = slic(
        np.moveaxis(stretched, 0, -1),
        n_segments=count,
        compactness=10,
        sigma=1,
        start_label=0,
        channel_axis=-1,
    )
    return torch.as_tensor(np.unique(labels, return_inverse=True)[1].reshape(labels.shape))


def grid_regions(size: tuple[int, int], count: int) -> Tensor:
    """A regular grid of about ``count`` rectangles: labels ``(H, W)`` from 0.

    >>> grid_regions((2, 4), 2)
    tensor([[0, 0, 1, 1],
            [0, 0, 1, 1]])
    """
    rows, columns = size
    down = min(rows, max(1, round(math.sqrt(count * rows / columns))))
    across = min(columns, max(1, round(count / down)))
    y = torch.arange(rows) * down // rows
    x = torch.arange(columns) * across // columns
    return y[:, None] * across + x[None]
