"""The films that generators are trained on: whole ones or parts of them, real or simulated."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch

from xiqa.simulation.chest import insert_objects
from xiqa.simulation.chest.markers import draw_marker
from xiqa.simulation.seeds import ERASING
from xiqa.training.augment import affine_matrix, augment, warp
from xiqa.training.data import Batch, EpochLoader, FilmSet, load_films, prepare_film

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from xiqa.datasets import Sample
    from xiqa.geometry import Box
    from xiqa.models.preprocess import Preprocessing
    from xiqa.training.data import Film
    from xiqa.training.generators.recipe import GeneratorRecipe
    from xiqa.training.recipe import Recipe

__all__ = ["ErasingParts", "FilmParts", "erasing_loader", "film_loaders", "letters_beside"]

MARGIN = 1.25  # training films are kept this much larger than the input, so that zooming in stays sharp


class FilmParts(FilmSet):
    """A part of each film, changed at random; draw and seed decide which and how.

    Args:
        films: On the grid of ``recipe.preprocessing``.
        recipe: Seed and augmentation.
        size: (rows, columns) of a part.
        focus: How often it lies around an object, where there is one.
    """

    def __init__(
        self, films: Sequence[Film], recipe: Recipe, size: tuple[int, int], focus: float = 0.0
    ) -> None:
        super().__init__(films, recipe, size, training=True)
        self.focus = focus

    def __getitem__(self, draw: tuple[int, int]) -> Batch:
        film, rng = self.films[draw[1]], np.random.default_rng((self.recipe.seed, *draw, 1))
        (grey,) = self._part(film, [film.grey], rng)
        return _batch(grey, film)

    def _part(self, film: Film, greys: Sequence[NDArray[np.uint8]], rng: np.random.Generator) -> list[Tensor]:
        """One part of several versions of a film, all changed alike; ``(1, 1, H, W)`` each."""
        options = self.recipe.augmentation or None
        # a little more than is wanted, so that a turned part has no black corners
        sides = [
            min(round(side * MARGIN), whole) for side, whole in zip(self.size, film.grey.shape, strict=True)
        ]
        free = [whole - side for side, whole in zip(sides, film.grey.shape, strict=True)]
        y, x = (int(rng.integers(most + 1)) for most in free)
        if film.truths and rng.random() < self.focus:
            centre = film.truths[rng.integers(len(film.truths))].box.centre
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


class ErasingParts(FilmParts):
    """Parts of clean films with simulated objects put into them, and, as ``target``, without.

    Args:
        pairs: The same film with the objects and without.
        recipe: See `FilmParts`.
        size: Likewise.
    """

    def __init__(self, pairs: Sequence[tuple[Film, Film]], recipe: Recipe, size: tuple[int, int]) -> None:
        super().__init__([laid for laid, _ in pairs], recipe, size, focus=1.0)
        self.clean = [clean for _, clean in pairs]

    def __getitem__(self, draw: tuple[int, int]) -> Batch:
        laid, rng = self.films[draw[1]], np.random.default_rng((self.recipe.seed, *draw, 1))
        with_objects, without = self._part(laid, [laid.grey, self.clean[draw[1]].grey], rng)
        return _batch(with_objects, laid)._replace(target=without)


def _batch(images: Tensor, film: Film) -> Batch:
    """One part; nothing but the image is learned from."""
    nothing = torch.zeros(0)
    return Batch(images, torch.tensor(film.label), nothing, nothing, nothing, nothing)


def erasing_loader(recipe: GeneratorRecipe, films: Recipe, samples: Sequence[Sample]) -> EpochLoader | None:
    """Batches of clean training films with simulated objects; None where the recipe inserts none.

    Args:
        recipe: The recipe.
        films: What `GeneratorRecipe.films` made of it.
        samples: Training films; the poor ones among them are left out.
    """
    good = [sample for sample in samples if sample.label == 0]
    if not recipe.inserted or not good:
        return None
    grid, pairs = films.preprocessing, []
    for number, seed in enumerate(ERASING.take(recipe.inserted, recipe.seed)):
        image = good[number % len(good)].read()
        phantom = insert_objects(image, seed)
        laid = prepare_film(phantom.image, phantom.annotations, phantom.label, grid)
        clean = prepare_film(image, (), 0, grid)
        if recipe.letters:
            laid, clean = _lettered([laid, clean], seed)
        pairs.append((laid, clean))
    size = _part_size(recipe, grid)
    return EpochLoader(ErasingParts(pairs, films, size), recipe.batch_size, seed=recipe.seed)


def letters_beside(
    size: tuple[int, int], boxes: Sequence[Box], rng: np.random.Generator
) -> NDArray[np.float32]:
    """A side marker near every second object, ``(H, W)`` from 0 (film) to 1 (white).

    Args:
        size: Rows and columns of the film.
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


def _lettered(versions: Sequence[Film], seed: int) -> list[Film]:
    """Versions of one film under the same letters, near the objects of the first."""
    first = versions[0]
    boxes = [truth.box for truth in first.truths]
    rows, columns = first.grey.shape
    ink = letters_beside((rows, columns), boxes, np.random.default_rng([seed, 78]))
    return [film._replace(grey=(film.grey + (255 - film.grey) * ink).astype(np.uint8)) for film in versions]


def film_loaders(
    recipe: GeneratorRecipe, films: Recipe, train: Sequence[Sample], val: Sequence[Sample]
) -> tuple[EpochLoader, EpochLoader]:
    """Batches of training films, in parts where the recipe says so, and of whole validation films.

    Args:
        recipe: The recipe.
        films: What `GeneratorRecipe.films` made of it.
        train: Training films.
        val: Validation films.
    """
    kept = load_films(val, films.preprocessing)
    whole = FilmSet(kept, films, films.preprocessing.size, training=False)
    return (
        EpochLoader(_training_set(recipe, films, train), recipe.batch_size, seed=recipe.seed),
        EpochLoader(whole, recipe.batch_size, shuffle=False),
    )


def _training_set(recipe: GeneratorRecipe, films: Recipe, samples: Sequence[Sample]) -> FilmSet:
    """The training films, whole (and kept a little larger) or in parts."""
    grid = films.preprocessing
    if recipe.crop is not None:
        return FilmParts(load_films(samples, grid), films, _part_size(recipe, grid), recipe.focus)
    larger = (round(grid.size[0] * MARGIN), round(grid.size[1] * MARGIN))
    kept = load_films(samples, grid.model_copy(update={"size": larger}))
    return FilmSet(kept, films, grid.size, training=True)


def _part_size(recipe: GeneratorRecipe, grid: Preprocessing) -> tuple[int, int]:
    """(rows, columns) of what a step sees; of no more than there is."""
    rows, columns = (min(pair) for pair in zip(recipe.crop or grid.size, grid.size, strict=True))
    return rows, columns
