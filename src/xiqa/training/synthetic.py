"""Images that add to a data set: simulated ones, and clean ones with simulated objects put into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xiqa.simulation.chest import insert_objects, simulate_chest
from xiqa.simulation.seeds import TRAINING
from xiqa.training.data import prepare_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xiqa.datasets import Sample
    from xiqa.models.preprocess import Preprocessing
    from xiqa.training.data import TrainingImage
    from xiqa.training.recipe import Recipe

__all__ = ["synthetic_images"]

SIZE = (640, 640)


def synthetic_images(recipe: Recipe, clean: Sequence[Sample], grid: Preprocessing) -> Iterator[TrainingImage]:
    """The synthetic images that a recipe asks for.

    Args:
        recipe: Says how many, and the seed.
        clean: Images without removable objects, to put objects into.
        grid: Grid to keep the images on.

    Yields:
        ``recipe.data.simulated`` simulated images, then ``recipe.data.inserted`` changed real ones.
    """
    seeds = TRAINING.take(recipe.data.simulated + recipe.data.inserted, recipe.seed)
    for seed in seeds[: recipe.data.simulated]:
        phantom = simulate_chest(seed, size=SIZE)
        yield prepare_image(phantom.image, phantom.annotations, phantom.label, grid)
    order = np.random.default_rng(recipe.seed).permutation(len(clean))
    for number, seed in enumerate(seeds[recipe.data.simulated :]):
        phantom = insert_objects(clean[order[number % len(order)]].read(), seed)
        yield prepare_image(phantom.image, phantom.annotations, phantom.label, grid)
