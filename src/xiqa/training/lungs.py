"""Training of the lung network on simulated images, and on real ones where masks are at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from xiqa.errors import DatasetError
from xiqa.geometry import Frame
from xiqa.imaging.masks import read_mask
from xiqa.imaging.values import to_grey
from xiqa.models.regions.lungs import SIDE, LungMask, LungNet, dice, standardise
from xiqa.simulation.chest import simulate_chest
from xiqa.training.augment import affine_matrix, augment, warp
from xiqa.training.loop import require_finite
from xiqa.training.recipe import Augmentation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from xiqa.datasets.sample import Sample
    from xiqa.types import Image, MaskArray

__all__ = ["MaskedImage", "masked_images", "score_lungs", "score_masks", "simulated_masks", "train_lungs"]

BATCH = 16
CHANGES = Augmentation(
    rotate=8, scale=0.18, translate=0.08, flip=0.5, contrast=0.6, brightness=0.1, noise=0.04
)


class MaskedImage(NamedTuple):
    """An image and its lungs on the network's grid, both uint8 ``(160, 160)``."""

    grey: NDArray[np.uint8]
    lungs: NDArray[np.uint8]


def simulated_masks(seeds: Sequence[int], tick: Callable[[], object] = lambda: None) -> list[MaskedImage]:
    """Simulated images, with and without objects, small as the network sees them."""
    radiographs = []
    for seed in seeds:
        phantom = simulate_chest(seed, size=(SIDE, SIDE))
        assert phantom.lung_mask is not None
        radiographs.append(_on_grid(phantom.image, phantom.lung_mask))
        tick()
    return radiographs


def masked_images(samples: Sequence[Sample], tick: Callable[[], object] = lambda: None) -> list[MaskedImage]:
    """Images of a data set that have a mask of their lungs; a mask of another size is stretched to the image.

    Raises:
        DatasetError: No sample has a mask.
    """
    radiographs = []
    for sample in samples:
        if sample.organ_mask is not None:
            image = sample.read()
            radiographs.append(_on_grid(image, _mask_of(sample.organ_mask, image.size)))
        tick()
    if not radiographs:
        raise DatasetError("no image has a mask of its lungs", expected="masks beside the images")
    return radiographs


def _mask_of(file: Path, size: tuple[int, int]) -> MaskArray:
    """A mask on its image's grid; COVID-19 Radiography has images of 299 and masks of 256 pixels."""
    mask = read_mask(file)
    if mask.shape == size:
        return mask
    stretch = Frame.resize(original=(mask.shape[0], mask.shape[1]), model=size)
    return np.asarray(stretch.map_to_model(mask) > 0.5)


def _on_grid(image: Image, mask: MaskArray) -> MaskedImage:
    frame = Frame.letterbox(original=image.size, model=(SIDE, SIDE))
    grey = frame.image_to_model(to_grey(image.pixels))
    lungs = frame.map_to_model(mask)
    return MaskedImage(*(np.rint(values * 255).astype(np.uint8) for values in (grey, lungs)))


def train_lungs(
    radiographs: Sequence[MaskedImage],
    *,
    epochs: int = 12,
    seed: int = 0,
    learning_rate: float = 4e-3,
    tick: Callable[[float], object] = lambda loss: None,
) -> LungNet:
    """Train a lung network: AdamW under a one-cycle schedule, cross-entropy and Dice.

    Args:
        radiographs: What to learn from.
        epochs: How often every image is seen, each time changed at random.
        seed: Of weights, order and changes.
        learning_rate: At its peak.
        tick: Called with the loss after every step.

    Returns:
        The network, in evaluation mode.
    """
    torch.manual_seed(seed)
    network = LungNet().train()
    steps = epochs * -(-len(radiographs) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps)
    for epoch in range(epochs):
        for grey, lungs in _batches(radiographs, seed, epoch):
            loss = lung_loss(network(grey), lungs)
            require_finite(loss, f"epoch {epoch + 1} of the lung network")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            tick(float(loss.detach()))
    return network.eval()


def lung_loss(logits: Tensor, lungs: Tensor) -> Tensor:
    r"""Cross-entropy plus :math:`1 - \frac{2\sum p t + 1}{\sum p + \sum t + 1}` (``milletari2016vnet``)."""
    p = logits.sigmoid()
    overlap = (2 * (p * lungs).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + lungs.sum((1, 2, 3)) + 1)
    return F.binary_cross_entropy_with_logits(logits, lungs) + (1 - overlap).mean()


def _batches(radiographs: Sequence[MaskedImage], seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Every image once, changed at random, in an order that seed and epoch decide."""
    order = np.random.default_rng((seed, epoch)).permutation(len(radiographs))
    for start in range(0, len(order), BATCH):
        pairs = [
            _changed(radiographs[k], np.random.default_rng((seed, epoch, k)))
            for k in order[start : start + BATCH]
        ]
        grey, lungs = (torch.from_numpy(np.stack(part)[:, None]) for part in zip(*pairs, strict=True))
        yield grey, lungs


def _changed(
    radiograph: MaskedImage, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An image as another hospital or a sicker patient might show it, and its lungs."""
    grey, lungs = (np.float32(1 / 255) * part for part in radiograph)
    matrix = affine_matrix(grey.shape, grey.shape, CHANGES, rng)
    grey, lungs = warp(grey, matrix, grey.shape), warp(lungs, matrix, lungs.shape)
    rows, columns = np.mgrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j].astype(np.float32)
    for _ in range(rng.integers(0, 4)):  # opacities: disease whitens a lung, which stays a lung
        x, y = rng.uniform(0.1, 0.9, 2)
        width, height = rng.uniform(0.03, 0.15, 2)
        blob = np.exp(-0.5 * (((columns - x) / width) ** 2 + ((rows - y) / height) ** 2))
        grey = grey + np.float32(rng.uniform(-0.1, 0.35)) * blob
    for _ in range(rng.integers(0, 3)):  # air beside neck and arms is as dark as a lung
        x, y = rng.choice([rng.uniform(0, 0.3), rng.uniform(0.7, 1)]), rng.uniform(0, 0.5)
        width, height = rng.uniform(0.04, 0.12, 2)
        blob = np.exp(-0.5 * (((columns - x) / width) ** 2 + ((rows - y) / height) ** 2))
        grey = grey - np.float32(rng.uniform(0.1, 0.6)) * blob * (1 - lungs)
    shade = rng.normal(0, 0.12, 2)
    grey = grey * (1 + np.float32(shade[0]) * (rows - 0.5) + np.float32(shade[1]) * (columns - 0.5))
    grey = augment(np.clip(grey, 0, 1).astype(np.float32), CHANGES, rng)
    if rng.random() < 0.3:
        grey = gaussian_filter(grey, rng.uniform(0.3, 1.2))
    return standardise(grey), (lungs > 0.5).astype(np.float32)


def score_lungs(
    lungs: LungMask,
    seeds: Sequence[int],
    tick: Callable[[], object] = lambda: None,
    *,
    size: tuple[int, int] = (448, 448),
) -> NDArray[np.float64]:
    """Dice of the masks of simulated images, at the images' own size."""
    scores = []
    for seed in seeds:
        phantom = simulate_chest(seed, size=size)
        assert phantom.lung_mask is not None
        scores.append(dice(lungs(phantom.image), phantom.lung_mask))
        tick()
    return np.array(scores)


def score_masks(
    lungs: LungMask, samples: Sequence[Sample], tick: Callable[[], object] = lambda: None
) -> NDArray[np.float64]:
    """Dice of the masks of a data set's images that have one, at the images' own size."""
    scores = []
    for sample in samples:
        if sample.organ_mask is not None:
            image = sample.read()
            scores.append(dice(lungs(image), _mask_of(sample.organ_mask, image.size)))
        tick()
    return np.array(scores)
