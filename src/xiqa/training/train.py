"""One command from a recipe and a folder of films to a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning
import torch
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
from xiqa.training.finish import Known, finish, score_films
from xiqa.training.fit import fit
from xiqa.training.synthetic import synthetic_films

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from xiqa.datasets import Sample
    from xiqa.models.card import BundleCard
    from xiqa.models.preprocess import Preprocessing
    from xiqa.training.data import Film
    from xiqa.training.recipe import Recipe

__all__ = ["bundle", "read_samples", "train"]

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
    larger = _load(recipe, parts[0], MARGIN, progress) + _synthetic(recipe, parts[0], MARGIN, progress)
    fit(network, recipe, larger, exact[1], out, resume=resume, devices=devices, progress=progress)
    return bundle(network, recipe, parts, exact, out / "bundle", progress=progress)


def bundle(
    network: nn.Module,
    recipe: Recipe,
    parts: tuple[Sequence[Sample], Sequence[Sample]],
    films: Sequence[Sequence[Film]],
    folder: Path,
    *,
    progress: bool = True,
) -> BundleCard:
    """Calibrate a trained network and write its bundle; see `finish`.

    Args:
        network: The trained network.
        recipe: Its recipe.
        parts: The training and the validation samples.
        films: The same, read.
        folder: The bundle's folder.
        progress: Whether to show a progress bar.

    Returns:
        The bundle's card.
    """
    plain = recipe.model_copy(update={"data": recipe.data.model_copy(update={"inserted": 0})})
    simulated = _synthetic(plain, parts[0], 1.0, progress)
    with _bar(progress) as bar:
        task = bar.add_task("calibrating", total=sum(map(len, films)) + len(simulated))
        scores = [
            score_films(network, recipe, part, lambda done: bar.advance(task, done))
            for part in (*films, simulated)
            if part
        ]
    real = [sample.patient for part in parts for sample in part]
    known = Known(
        torch.cat([part.features for part in scores]),
        ["real"] * len(real) + ["simulated"] * len(simulated),
        real + [f"simulated {number}" for number in range(len(simulated))],
    )
    return finish(network, recipe, scores[1], [sample.patient for sample in parts[1]], known, folder)


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


def _synthetic(recipe: Recipe, samples: Sequence[Sample], margin: float, progress: bool) -> list[Film]:
    """Simulated films, and clean films with simulated objects in them."""
    clean = [sample for sample in samples if sample.label != recipe.poor_class]
    with _bar(progress) as bar:
        task = bar.add_task("simulating films", total=recipe.data.simulated + recipe.data.inserted)
        films = []
        for film in synthetic_films(recipe, clean, _grid(recipe, margin)):
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
