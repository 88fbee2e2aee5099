"""The films that generators are trained on: whole ones or parts of them, real or simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from xiqa.training.augment import affine_matrix, augment, warp
from xiqa.training.data import Batch, EpochLoader, FilmSet, load_films

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xiqa.datasets import Sample
    from xiqa.training.data import Film
    from xiqa.training.generators.recipe import GeneratorRecipe
    from xiqa.training.recipe import Recipe

__all__ = ["FilmParts", "film_loaders"]

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
        epoch, index = draw
        film, options = self.films[index], self.recipe.augmentation or None
        rng = np.random.default_rng((self.recipe.seed, epoch, index, 1))
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
        grey = film.grey[y : y + sides[0], x : x + sides[1]].astype(np.float32) / np.float32(255)
        matrix = affine_matrix(self.size, self.size, options, rng)  # one pixel stays about one pixel
        matrix[:, 2] += (sides[1] - self.size[1]) // 2, (sides[0] - self.size[0]) // 2
        grey = warp(grey, matrix, self.size)
        if options is not None:
            grey = augment(grey, options, rng)
        nothing = torch.zeros(0)
        images = torch.from_numpy(self.recipe.preprocessing.normalise(grey))
        return Batch(images, torch.tensor(film.label), nothing, nothing, nothing, nothing)


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
        rows, columns = (min(pair) for pair in zip(recipe.crop, grid.size, strict=True))
        return FilmParts(load_films(samples, grid), films, (rows, columns), recipe.focus)
    larger = (round(grid.size[0] * MARGIN), round(grid.size[1] * MARGIN))
    kept = load_films(samples, grid.model_copy(update={"size": larger}))
    return FilmSet(kept, films, grid.size, training=True)
