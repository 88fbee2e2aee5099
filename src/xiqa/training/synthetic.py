"""Films that add to a data set: simulated ones, and clean ones with simulated objects put into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xiqa.simulation.chest import insert_objects, simulate_chest
from xiqa.simulation.seeds import TRAINING
from xiqa.training.data import prepare_film

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xiqa.datasets import Sample
    from xiqa.models.preprocess import Preprocessing
    from xiqa.training.data import Film
    from xiqa.training.recipe import Recipe

__all__ = ["synthetic_films"]

SIZE = (640, 640)


def synthetic_films(recipe: Recipe, clean: Sequence[Sample], grid: Preprocessing) -> Iterator[Film]:
    """The synthetic films that a recipe asks for.

    Args:
        recipe: Says how many, and the seed.
        clean: Films without removable objects, to put objects into.
        grid: Grid to keep the films on.

    Yields:
        ``recipe.data.simulated`` simulated films, then ``recipe.data.inserted`` changed real ones.
    """
    seeds = TRAINING.take(recipe.data.simulated + recipe.data.inserted, recipe.seed)
    for seed in seeds[: recipe.data.simulated]:
        phantom = simulate_chest(seed, size=SIZE)
        yield prepare_film(phantom.image, phantom.annotations, phantom.label, grid)
    order = np.random.default_rng(recipe.seed).permutation(len(clean))
    for number, seed in enumerate(seeds[recipe.data.simulated :]):
        phantom = insert_objects(clean[order[number % len(order)]].read(), seed)
        yield prepare_film(phantom.image, phantom.annotations, phantom.label, grid)
