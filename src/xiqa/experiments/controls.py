"""Maps that know nothing of the network: what every detector must beat."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from scipy.ndimage import sobel
from torch import Tensor

from xiqa.errors import ConfigError

__all__ = ["CONTROLS", "control_maps"]

CONTROLS = ("centre", "random", "edges")

CELLS = 16  # of the random map, along a side: as coarse as a deep layer


def control_maps(name: str, images: Tensor, keys: list[str], seed: int = 0) -> Tensor:
    r"""The maps of a control for a batch.

    - ``centre``: :math:`e^{-d^2 / 2 s^2}` with the distance d from the middle and s a quarter of the side;
    - ``random``: uniform noise on a grid of 16 x 16 cells, another one for each image, the same at every
      call;
    - ``edges``: the length of Sobel's gradient of the grey values.

    Args:
        name: One of `CONTROLS`.
        images: ``(N, C, H, W)``.
        keys: Name of each image.
        seed: Of the random maps.

    Returns:
        ``(N, h, w)``.

    Raises:
        ConfigError: There is none of that name.

    >>> control_maps("centre", torch.zeros(1, 3, 5, 5), ["a"])[0].argmax().item()
    12
    """
    if name == "centre":
        return _centre((int(images.shape[-2]), int(images.shape[-1]))).expand(len(images), -1, -1)
    if name == "random":
        return torch.stack([_random(key, seed) for key in keys])
    if name == "edges":
        grey = images.mean(dim=1).detach().cpu().numpy()
        return torch.from_numpy(np.stack([np.hypot(sobel(image, 0), sobel(image, 1)) for image in grey]))
    raise ConfigError("unknown control", expected=" or ".join(CONTROLS), got=repr(name))


def _centre(size: tuple[int, int]) -> Tensor:
    rows, columns = (np.arange(side) - (side - 1) / 2 for side in size)
    squared = (rows[:, None] / size[0]) ** 2 + (columns[None, :] / size[1]) ** 2
    return torch.from_numpy(np.exp(-squared / (2 * 0.25**2)).astype(np.float32))


def _random(key: str, seed: int) -> Tensor:
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    return torch.from_numpy(np.random.default_rng([seed, number]).random((CELLS, CELLS), dtype=np.float32))
