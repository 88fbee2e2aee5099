"""Images that add to a data set: simulated ones, and clean ones with simulated objects put into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from xiqa.simulation.chest import Scenario, insert_objects, simulate_chest
from xiqa.simulation.chest.implants import DEVICES, IMPLANTS
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
        ``recipe.data.simulated`` simulated images, then ``recipe.data.inserted`` real ones with objects over
        the chest, then ``recipe.data.implanted`` with implants, one in three with an object beside the chest.
    """
    data = recipe.data
    seeds = TRAINING.take(data.simulated + data.inserted + data.implanted, recipe.seed)
    for seed in seeds[: data.simulated]:
        phantom = simulate_chest(seed, size=SIZE)
        yield prepare_image(phantom.image, phantom.annotations, phantom.label, grid)
    order = _by_turns(clean, recipe.seed)
    for number, seed in enumerate(seeds[data.simulated :]):
        objects = _harmless(seed) if number >= data.inserted else None
        phantom = insert_objects(order[number % len(order)].read(), seed, objects=objects)
        yield prepare_image(phantom.image, phantom.annotations, phantom.label, grid)


def _harmless(seed: int) -> Scenario:
    """Implants of any kind, one in three times with an object beside the chest."""
    count: Literal["one", "none"] = "one" if seed % 3 == 0 else "none"
    return Scenario(count=count, place="outside", implant=True, devices=(*IMPLANTS, *DEVICES))


def _by_turns(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """The images in random order, the hospitals by turns; those of a small one come again sooner."""
    mixed = [samples[place] for place in np.random.default_rng(seed).permutation(len(samples))]
    stacks = [
        [sample for sample in mixed if sample.site == site] for site in dict.fromkeys(s.site for s in mixed)
    ]
    longest = max(map(len, stacks), default=0)
    return [stack[number % len(stack)] for number in range(longest) for stack in stacks]
