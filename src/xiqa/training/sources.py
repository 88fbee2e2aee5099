"""Where a recipe's samples come from: data sets of every layout, simulators, good images made worse."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from xiqa.datasets import Sample
from xiqa.datasets.balance import downsample
from xiqa.datasets.collection import require_no_leak
from xiqa.datasets.detect import read_dataset
from xiqa.errors import ConfigError, DatasetError
from xiqa.simulation.cardiac import simulate_cardiac
from xiqa.simulation.chest import Scenario, simulate_chest
from xiqa.simulation.corrupt import CORRUPTIONS, corrupt
from xiqa.simulation.seeds import TRAINING
from xiqa.simulation.write_corrupt import GOOD, draw_problem
from xiqa.training.goals import DEGREE, goal_of, is_poor
from xiqa.training.recipe import SIMULATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xiqa.simulation.phantom import Phantom
    from xiqa.training.recipe import Recipe
    from xiqa.types import Image, Split

__all__ = ["balanced", "read_samples", "simulated_samples"]

SEEN_IN_SMALL = ("necklace", "zip")
"""Objects that are still seen on a chest of a hundred pixels, where a button is two pixels."""


def read_samples(recipe: Recipe, data: Path | Sequence[Path]) -> list[Sample]:
    """The samples of the data set that a recipe names, labelled as its head learns them.

    Args:
        recipe: Names the layout and the classes.
        data: The data set's folder or file; or several, one a hospital.

    Returns:
        Samples of all splits; `Sample.label` is an index into the recipe's classes.

    Raises:
        DatasetError: The data set is not as its layout wants it, or has other classes than the recipe.
    """
    folders = [data] if isinstance(data, Path) else list(data)
    parts = [read_dataset(folder, recipe.data.layout) for folder in folders]
    labelled = [
        _labelled(recipe, sample, part.classes[sample.label]) for part in parts for sample in part.samples
    ]
    require_no_leak(labelled)
    return labelled


def _labelled(recipe: Recipe, sample: Sample, name: str) -> Sample:
    """A sample of a named class as the recipe's head learns it; see `xiqa.training.goals`."""
    outputs, tags = recipe.outputs, sample.tags
    graded = outputs.task == "ordered" and not outputs.problems
    if outputs.task == "classes" or (graded and name in recipe.classes):
        if name not in recipe.classes:
            raise DatasetError(
                "the data set has other classes than the recipe",
                expected=", ".join(recipe.classes),
                got=name,
                todo="name its classes in the recipe",
            )
        return replace(sample, label=recipe.classes.index(name))
    if graded:
        if sample.degree is None or not outputs.grades_from:
            raise DatasetError(
                f"{sample.key} has no grade", expected=", ".join(recipe.classes), got=f"{name}, and no degree"
            )
        return replace(sample, label=sum(sample.degree >= edge for edge in outputs.grades_from))
    if outputs.task == "labels":
        tags = tuple(dict.fromkeys((*tags, *((name,) if name in recipe.classes else ()))))
    elif not outputs.problems:
        tags = (*tags, f"{DEGREE}={name if sample.degree is None else sample.degree}")
    elif name in outputs.problems:
        if sample.degree is None:
            raise DatasetError(f"{sample.key}: how strong is its {name}?", expected="a degree")
        tags = (*tags, f"{name}={sample.degree}")
    tagged = replace(sample, tags=tags)
    return replace(tagged, label=int(is_poor(recipe, [0], [goal_of(recipe, tagged)])[0]))


def balanced(recipe: Recipe, samples: Sequence[Sample]) -> list[Sample]:
    """The training samples, down-sampled where the recipe says so."""
    return downsample(samples, recipe.seed) if recipe.data.balance == "downsample" else list(samples)


def simulated_samples(
    recipe: Recipe,
    data: Path | None,
    size: tuple[int, int],
    tick: Callable[[], object] = lambda: None,
) -> Iterator[Sample]:
    """The samples of a simulated layout; three of four train, the rest validates, by patient.

    Args:
        recipe: Says what, how many, and the seed.
        data: For ``corrupted``: a data set whose images are taken instead of simulated ones.
        size: (rows, columns) of the simulated images.
        tick: Called after every image, for a progress bar.

    Yields:
        Samples whose seeds no evaluation uses.

    Raises:
        ConfigError: The recipe's problems or classes are none of the corruptions.
        DatasetError: The data set cannot be read.
    """
    layout, count = recipe.data.layout, recipe.data.images
    if layout not in SIMULATED:
        raise ConfigError(f"the layout {layout} is not simulated", expected=", ".join(SIMULATED))
    first = TRAINING.take(count, recipe.seed).start
    splits: list[Split] = ["train" if place < 3 * count / 4 else "val" for place in range(count)]
    if layout == "corrupted":
        yield from _corrupted(recipe, _good(data, first, splits, size), first, tick)
        return
    chest = layout == "simulated_chest"
    names = ("clean", "foreign") if chest else ("without_lvot", "with_lvot")
    for seed, split, phantom in (_chests if chest else _hearts)(first, splits, size):
        sample = Sample(
            key=f"simulated {seed}, {names[phantom.label]}",
            path=Path(),
            label=phantom.label,
            split=split,
            patient=str(seed),
            annotations=phantom.annotations,
            source=partial(_same, phantom.image),
        )
        tick()
        yield _labelled(recipe, sample, names[phantom.label])


def _chests(
    first: int, splits: Sequence[Split], size: tuple[int, int]
) -> Iterator[tuple[int, Split, Phantom]]:
    """Two images of every patient, without objects and with some: all that they can be told apart by."""
    clean = Scenario(count="none")
    foreign = Scenario(count="different", size="large", kinds=SEEN_IN_SMALL)
    for place in range(len(splits)):
        seed, objects = first + place // 2, foreign if place % 2 else clean
        yield seed, splits[place - place % 2], simulate_chest(seed, size=size, objects=objects)


def _hearts(
    first: int, splits: Sequence[Split], size: tuple[int, int]
) -> Iterator[tuple[int, Split, Phantom]]:
    """Two slices of every heart, without and with the tract: it is all that they can be told apart by."""
    for place in range(len(splits)):
        seed, outflow = first + place // 2, place % 2 == 1
        yield seed, splits[place - place % 2], simulate_cardiac(seed, outflow=outflow, size=size)


def _good(data: Path | None, first: int, splits: Sequence[Split], size: tuple[int, int]) -> Iterator[Sample]:
    """Images without a global problem: a data set's, or simulated radiographs without objects."""
    if data is not None:
        yield from read_dataset(data).samples
        return
    for seed, split in enumerate(splits, start=first):
        image = simulate_chest(seed, size=size, objects=Scenario(count="none", implant=False)).image
        yield Sample(f"simulated {seed}", Path(), 0, split, patient=str(seed), source=partial(_same, image))


def _corrupted(
    recipe: Recipe, samples: Iterator[Sample], first: int, tick: Callable[[], object]
) -> Iterator[Sample]:
    """Each image with one problem, or none; every problem comes equally often.

    The problems are those that the recipe's head tells apart: ``outputs.problems``, or the classes but
    ``good``, or all there are.
    """
    named = recipe.outputs.problems or tuple(name for name in recipe.classes if name in CORRUPTIONS)
    for seed, sample in enumerate(samples, start=first):
        problem, degree = draw_problem(seed, least=recipe.data.least_degree, problems=named)
        made = replace(
            sample,
            key=f"{sample.key}, {problem}",
            degree=degree,
            annotations=(),
            surveyed="none",
            source=partial(_worsened, sample, problem, degree, seed),
        )
        tick()
        yield _labelled(recipe, made, problem)


def _worsened(sample: Sample, problem: str, degree: float, seed: int) -> Image:
    image = sample.read()
    return image if problem == GOOD else corrupt(image, problem, degree, seed)


def _same(image: Image) -> Image:
    return image
