"""The images that generators are trained on: whole ones or parts of them, real or simulated."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch

from xiqa.simulation.chest import insert_objects
from xiqa.simulation.chest.markers import draw_marker
from xiqa.simulation.seeds import ERASING
from xiqa.training.augment import affine_matrix, augment, warp
from xiqa.training.data import Batch, EpochLoader, ImageSet, load_images, prepare_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from xiqa.datasets import Sample
    from xiqa.geometry import Box
    from xiqa.models.preprocess import Preprocessing
    from xiqa.training.data import TrainingImage
    from xiqa.training.generators.recipe import GeneratorRecipe
    from xiqa.training.recipe import Recipe

__all__ = ["ErasingParts", "ImageParts", "erasing_loader", "image_loaders", "letters_beside"]

MARGIN = 1.25  # training images are kept this much larger than the input, so that zooming in stays sharp


class ImageParts(ImageSet):
    """A part of each image, changed at random; draw and seed decide which and how.

    Args:
        radiographs: On the grid of ``recipe.preprocessing``.
        recipe: Seed and augmentation.
        size: (rows, columns) of a part.
        focus: How often it lies around an object, where there is one.
    """

    def __init__(
        self, radiographs: Sequence[TrainingImage], recipe: Recipe, size: tuple[int, int], focus: float = 0.0
    ) -> None:
        super().__init__(radiographs, recipe, size, training=True)
        self.focus = focus

    def __getitem__(self, draw: tuple[int, int]) -> Batch:
        radiograph, rng = self.images[draw[1]], np.random.default_rng((self.recipe.seed, *draw, 1))
        (grey,) = self._part(radiograph, [radiograph.grey], rng)
        return _batch(grey, radiograph)

    def _part(
        self, radiograph: TrainingImage, greys: Sequence[NDArray[np.uint8]], rng: np.random.Generator
    ) -> list[Tensor]:
        """One part of several versions of an image, all changed alike; ``(1, 1, H, W)`` each."""
        options = self.recipe.augmentation or None
        # a little more than is wanted, so that a turned part has no black corners
        sides = [
            min(round(side * MARGIN), whole)
            for side, whole in zip(self.size, radiograph.grey.shape, strict=True)
        ]
        free = [whole - side for side, whole in zip(sides, radiograph.grey.shape, strict=True)]
        y, x = (int(rng.integers(most + 1)) for most in free)
        if radiograph.truths and rng.random() < self.focus:
            centre = radiograph.truths[rng.integers(len(radiograph.truths))].box.centre
            shift = rng.uniform(-0.3, 0.3, 2) * sides
            y, x = (
                int(np.clip(middle - side / 2 + off, 0, most))
                for middle, side, off, most in zip((centre.y, centre.x), sides, shift, free, strict=True)
            )
        matrix = affine_matrix(self.size, self.size, options, rng)  # one pixel stays about one pixel
        matrix[:, 2] += (sides[1] - self.size[1]) // 2, (sides[0] - self.size[0]) // 2
        parts = []
        for grey in greys:
            part = warp(
                grey[y : y + sides[0], x : x + sides[1]].astype(np.float32) / np.float32(255),
                matrix,
                self.size,
            )
            if options is not None:
                part = augment(part, options, copy.deepcopy(rng))
            parts.append(torch.from_numpy(self.recipe.preprocessing.normalise(part)))
        return parts


class ErasingParts(ImageParts):
    """Parts of clean images with simulated objects put into them, and, as ``target``, without.

    Args:
        pairs: The same image with the objects and without.
        recipe: See `ImageParts`.
        size: Likewise.
    """

    def __init__(
        self, pairs: Sequence[tuple[TrainingImage, TrainingImage]], recipe: Recipe, size: tuple[int, int]
    ) -> None:
        super().__init__([laid for laid, _ in pairs], recipe, size, focus=1.0)
        self.clean = [clean for _, clean in pairs]

    def __getitem__(self, draw: tuple[int, int]) -> Batch:
        laid, rng = self.images[draw[1]], np.random.default_rng((self.recipe.seed, *draw, 1))
        with_objects, without = self._part(laid, [laid.grey, self.clean[draw[1]].grey], rng)
        return _batch(with_objects, laid)._replace(target=without)


def _batch(images: Tensor, radiograph: TrainingImage) -> Batch:
    """One part; nothing but the image is learned from."""
    nothing = torch.zeros(0)
    return Batch(images, torch.tensor(radiograph.label), *[nothing] * 5)


def erasing_loader(
    recipe: GeneratorRecipe, radiographs: Recipe, samples: Sequence[Sample]
) -> EpochLoader | None:
    """Batches of clean training images with simulated objects; None where the recipe inserts none.

    Args:
        recipe: The recipe.
        radiographs: What `GeneratorRecipe.image_recipe` made of it.
        samples: Training images; the poor ones among them are left out.
    """
    good = [sample for sample in samples if sample.label == 0]
    if not recipe.inserted or not good:
        return None
    grid, pairs = radiographs.preprocessing, []
    for number, seed in enumerate(ERASING.take(recipe.inserted, recipe.seed)):
        image = good[number % len(good)].read()
        phantom = insert_objects(image, seed)
        laid = prepare_image(phantom.image, phantom.annotations, phantom.label, grid)
        clean = prepare_image(image, (), 0, grid)
        if recipe.letters:
            laid, clean = _lettered([laid, clean], seed)
        pairs.append((laid, clean))
    size = _part_size(recipe, grid)
    return EpochLoader(ErasingParts(pairs, radiographs, size), recipe.batch_size, seed=recipe.seed)


def letters_beside(
    size: tuple[int, int], boxes: Sequence[Box], rng: np.random.Generator
) -> NDArray[np.float32]:
    """A side marker near every second object, ``(H, W)`` from 0 (image) to 1 (white).

    Args:
        size: Rows and columns of the image.
        boxes: Where the objects are.
        rng: Decides place and look.
    """
    ink = np.zeros(size, np.float32)
    for box in boxes:
        if rng.random() < 0.5:
            marker = draw_marker(size, bool(rng.random() < 0.5), rng)
            y, x = (box.centre.y, box.centre.x) + rng.uniform(-0.12, 0.12, 2) * size
            shift = round(y - marker.place[1]), round(x - marker.place[0])
            ink = np.maximum(ink, np.roll(marker.ink, shift, axis=(0, 1)))
    return ink


def _lettered(versions: Sequence[TrainingImage], seed: int) -> list[TrainingImage]:
    """Versions of one image under the same letters, near the objects of the first."""
    first = versions[0]
    boxes = [truth.box for truth in first.truths]
    rows, columns = first.grey.shape
    ink = letters_beside((rows, columns), boxes, np.random.default_rng([seed, 78]))
    return [
        radiograph._replace(grey=(radiograph.grey + (255 - radiograph.grey) * ink).astype(np.uint8))
        for radiograph in versions
    ]


def image_loaders(
    recipe: GeneratorRecipe, radiographs: Recipe, train: Sequence[Sample], val: Sequence[Sample]
) -> tuple[EpochLoader, EpochLoader]:
    """Batches of training images, in parts where the recipe says so, and of whole validation images.

    Args:
        recipe: The recipe.
        radiographs: What `GeneratorRecipe.image_recipe` made of it.
        train: Training images.
        val: Validation images.
    """
    kept = load_images(val, radiographs.preprocessing)
    whole = ImageSet(kept, radiographs, radiographs.preprocessing.size, training=False)
    return (
        EpochLoader(_training_set(recipe, radiographs, train), recipe.batch_size, seed=recipe.seed),
        EpochLoader(whole, recipe.batch_size, shuffle=False),
    )


def _training_set(recipe: GeneratorRecipe, radiographs: Recipe, samples: Sequence[Sample]) -> ImageSet:
    """The training images, whole (and kept a little larger) or in parts."""
    grid = radiographs.preprocessing
    if recipe.crop is not None:
        return ImageParts(load_images(samples, grid), radiographs, _part_size(recipe, grid), recipe.focus)
    larger = (round(grid.size[0] * MARGIN), round(grid.size[1] * MARGIN))
    kept = load_images(samples, grid.model_copy(update={"size": larger}))
    return ImageSet(kept, radiographs, grid.size, training=True)


def _part_size(recipe: GeneratorRecipe, grid: Preprocessing) -> tuple[int, int]:
    """(rows, columns) of what a step sees; of no more than there is."""
    rows, columns = (min(pair) for pair in zip(recipe.crop or grid.size, grid.size, strict=True))
    return rows, columns
