"""One command from a recipe and a folder of films to a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from xiqa.datasets import by_split, read_foreign_objects, read_object_cxr
from xiqa.errors import DatasetError
from xiqa.models.backbones import build_network
from xiqa.training.data import load_films
from xiqa.training.finish import finish, score_films
from xiqa.training.fit import fit
from xiqa.training.synthetic import synthetic_films

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from xiqa.datasets import Sample
    from xiqa.models.card import BundleCard
    from xiqa.models.preprocess import Preprocessing
    from xiqa.training.data import Film
    from xiqa.training.recipe import Recipe

__all__ = ["read_samples", "train"]

MARGIN = 1.25  # training films are kept this much larger than the input, so that zooming in stays sharp


def train(
    recipe: Recipe, data: Path, out: Path, *, resume: bool = False, devices: int = 1, progress: bool = True
) -> BundleCard:
    """Train, calibrate and write a bundle to ``out/bundle``.

    Args:
        recipe: What to do.
        data: The data set's folder.
        out: Folder for checkpoints, logs, the resolved recipe and the bundle.
        resume: Go on from the last checkpoint in ``out``.
        devices: How many devices to train on.
        progress: Whether to show progress bars.

    Returns:
        The bundle's card.

    Raises:
        DatasetError: The data set lacks training or validation films of either class.
    """
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(recipe.model_dump_json(indent=1), encoding="utf-8")
    samples = read_samples(recipe, data)
    parts = by_split(samples, "train"), by_split(samples, "val")
    for part, name in zip(parts, ("training", "validation"), strict=True):
        if len({sample.label for sample in part}) < 2:
            raise DatasetError(f"too few {name} films", expected="films of both classes", got=str(len(part)))
    exact = [_load(recipe, part, 1.0, progress) for part in parts]
    network = build_network(recipe.architecture, weights="imagenet")
    larger = _load(recipe, parts[0], MARGIN, progress) + _synthetic(recipe, parts[0], progress)
    fit(network, recipe, larger, exact[1], out, resume=resume, devices=devices, progress=progress)
    with _bar(progress) as bar:
        task = bar.add_task("calibrating", total=sum(map(len, exact)))
        train_scores, val_scores = (
            score_films(network, recipe, films, lambda done: bar.advance(task, done)) for films in exact
        )
    return finish(network, recipe, (train_scores, val_scores), parts, out / "bundle")


def read_samples(recipe: Recipe, data: Path) -> list[Sample]:
    """The samples of the data set that a recipe names."""
    if recipe.data.layout == "foreign_objects":
        return read_foreign_objects(data)
    images = data / "images" if (data / "images").is_dir() else data
    tables = {"train.csv": "train", "dev.csv": "val", "test.csv": "test"}
    return [
        sample
        for table, split in tables.items()
        if (data / table).is_file()
        for sample in read_object_cxr(data / table, images, split)  # type: ignore[arg-type]
    ]


def _load(recipe: Recipe, samples: Sequence[Sample], margin: float, progress: bool) -> list[Film]:
    """Read films onto the input's grid, made larger by ``margin``."""
    with _bar(progress) as bar:
        task = bar.add_task("reading films", total=len(samples))
        return load_films(samples, _grid(recipe, margin), lambda: bar.advance(task))


def _synthetic(recipe: Recipe, samples: Sequence[Sample], progress: bool) -> list[Film]:
    """Simulated films, and clean films with simulated objects in them."""
    clean = [sample for sample in samples if sample.label != recipe.poor_class]
    with _bar(progress) as bar:
        task = bar.add_task("simulating films", total=recipe.data.simulated + recipe.data.inserted)
        films = []
        for film in synthetic_films(recipe, clean, _grid(recipe, MARGIN)):
            films.append(film)
            bar.advance(task)
    return films


def _grid(recipe: Recipe, margin: float) -> Preprocessing:
    """The recipe's preprocessing on a grid that is larger by ``margin``."""
    rows, columns = recipe.preprocessing.size
    return recipe.preprocessing.model_copy(update={"size": (round(rows * margin), round(columns * margin))})


def _bar(progress: bool) -> Progress:
    """A progress bar with the time that is left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), disable=not progress)
