"""One command from a recipe and a folder of images to a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning
import numpy as np
import torch
from pydantic import ValidationError
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from xiqa.config import faults
from xiqa.datasets import by_split
from xiqa.errors import ConfigError, DatasetError, ModelError
from xiqa.models.backbones import build_network
from xiqa.models.bundle import load_model
from xiqa.models.calibration import require_enough
from xiqa.models.heads.evidence import EvidenceNet
from xiqa.models.heads.pooled import he_initialise, zero_residuals
from xiqa.models.views.check import ViewCheck
from xiqa.report.classifier_files import write_report
from xiqa.training.data import load_images
from xiqa.training.disk import ImagesOnDisk
from xiqa.training.finish import Known, finish, report_on, score_images
from xiqa.training.fit import fit, read_history
from xiqa.training.goals import goal_of, is_poor
from xiqa.training.processes import ONE, Machines, in_first, leave_to_first
from xiqa.training.recipe import SIMULATED, Recipe
from xiqa.training.scanner import change_scanner
from xiqa.training.sources import balanced, read_samples, simulated_samples
from xiqa.training.synthetic import synthetic_images
from xiqa.training.views.fit import fit_views, frontal_pictures, photographs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from xiqa.datasets import Sample
    from xiqa.models.bundle import LoadedModel
    from xiqa.models.card import BundleCard
    from xiqa.models.preprocess import Preprocessing
    from xiqa.models.views.network import ViewNet
    from xiqa.scoring.classifier import ClassifierReport
    from xiqa.training.data import TrainingImage
    from xiqa.types import Split

__all__ = ["bundle", "read_samples", "report_bundle", "starting_network", "train"]

MARGIN = 1.25  # training images are kept this much larger than the input, so that zooming in stays sharp


def train(
    recipe: Recipe,
    data: Path | Sequence[Path] | None,
    out: Path,
    *,
    resume: bool = False,
    devices: int = 1,
    nodes: int = 1,
    progress: bool = True,
) -> BundleCard:
    """Train, calibrate and write a bundle to ``out/bundle``, and how it classifies to ``out/report``.

    Args:
        recipe: What to do.
        data: The data set's folder, or several, one a hospital; None where the recipe simulates its images.
        out: Folder for checkpoints, logs, the resolved recipe, the report and the bundle.
        resume: Go on from the last checkpoint in ``out``.
        devices: How many devices (or processes, without an accelerator) of each machine to train on.
        nodes: How many machines, each of which runs this with a folder ``out`` that all of them see.
        progress: Whether to show progress bars.

    Returns:
        The bundle's card.

    Raises:
        DatasetError: The data set lacks training or validation images of either quality, or has other
            classes than the recipe.
        ModelError: The pretrained weights cannot be had, or too few validation images to calibrate on.
        TrainingError: The loss is no number any more.

    Where several processes train, the first one returns; every other one ends with exit status 0.
    """
    machines = Machines(devices, nodes)
    machines.check()
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    progress = progress and in_first()
    if in_first():
        out.mkdir(parents=True, exist_ok=True)
        (out / "recipe.json").write_text(recipe.model_dump_json(indent=1), encoding="utf-8")
    samples = _samples(recipe, data, progress)
    parts = balanced(recipe, by_split(samples, "train")), by_split(samples, "val")
    for part, name in zip(parts, ("training", "validation"), strict=True):
        if len({_poor(recipe, sample) for sample in part}) < 2:
            raise DatasetError(
                f"too few {name} images", expected="images of both classes, good and poor", got=str(len(part))
            )
    require_enough([_poor(recipe, sample) for sample in parts[1]])
    exact = [_load(recipe, part, 1.0, progress) for part in parts]
    network = starting_network(recipe)
    if recipe.augmentation:
        larger = _load(recipe, parts[0], MARGIN, progress) + _synthetic(recipe, parts[0], MARGIN, progress)
    else:
        larger = exact[0] + _synthetic(recipe, parts[0], 1.0, progress)
    fit(network, recipe, larger, exact[1], out, resume=resume, machines=machines, progress=progress)
    leave_to_first()
    return bundle(network, recipe, parts, exact, out / "bundle", machines=machines, progress=progress)


def report_bundle(
    model: LoadedModel, data: Path | None, split: Split = "test", *, progress: bool = True
) -> ClassifierReport:
    """How a bundle that was trained from a recipe classifies one split of a data set.

    Args:
        model: The bundle.
        data: The data set's folder; None where the recipe simulates its images.
        split: Which part of it.
        progress: Whether to show progress bars.

    Returns:
        The report, probabilities as calibrated by the card.

    Raises:
        ModelError: The bundle was not trained from a recipe that this version reads.
        DatasetError: The split is empty, or has other classes than the bundle.
    """
    try:
        recipe = Recipe.model_validate(model.card.recipe)
    except ValidationError as error:
        raise ModelError(
            f"{model.card.name} holds no recipe that this version reads", got=faults(error, Recipe)
        ) from error
    samples = by_split(_samples(recipe, data, progress), split)
    if not samples:
        raise DatasetError(f"no {split} images", expected="images of that split", got=str(data))
    images = _load(recipe, samples, 1.0, progress)
    with _bar(progress) as bar:
        task = bar.add_task("classifying", total=len(images))
        scored = score_images(model.network, recipe, images, lambda done: bar.advance(task, done))
    return report_on(model.card, scored, {"val": "validation"}.get(split, split))


def starting_network(recipe: Recipe) -> nn.Module:
    """The network as training begins: a bundle's, or pretrained with a new head, or drawn anew."""
    if recipe.start:
        begun = load_model(recipe.start)
        if begun.card.architecture != recipe.architecture:
            raise ConfigError(
                f"{recipe.start} is another network than the recipe's",
                expected=repr(recipe.architecture),
                got=repr(begun.card.architecture),
            )
        return begun.network
    network = build_network(recipe.architecture, weights="imagenet" if recipe.pretrained else "none")
    if not recipe.pretrained:
        zero_residuals(network)
    if recipe.he_head:
        he_initialise(network)
    return network


def _samples(recipe: Recipe, data: Path | Sequence[Path] | None, progress: bool) -> list[Sample]:
    """The samples of a data set, or simulated ones."""
    if recipe.data.layout not in SIMULATED:
        if data is None:
            raise ConfigError(
                f"the recipe {recipe.name} needs data",
                expected=f"a data set of the layout {recipe.data.layout}",
                todo="name its folder with --data, or add --quick for simulated images",
            )
        return read_samples(recipe, data)
    if data is not None and not isinstance(data, Path):
        data = data[0]
    size = _grid(recipe, MARGIN if recipe.augmentation else 1.0).size
    with _bar(progress) as bar:
        task = bar.add_task("simulating images", total=recipe.data.images if data is None else None)
        return list(simulated_samples(recipe, data, size, lambda: bar.advance(task)))


def _poor(recipe: Recipe, sample: Sample) -> int:
    """Whether a sample is of poor quality."""
    return int(is_poor(recipe, [sample.label], [goal_of(recipe, sample)])[0])


def bundle(
    network: nn.Module,
    recipe: Recipe,
    parts: tuple[Sequence[Sample], Sequence[Sample]],
    images: Sequence[Sequence[TrainingImage]],
    folder: Path,
    *,
    machines: Machines = ONE,
    progress: bool = True,
) -> BundleCard:
    """Calibrate a trained network, write its bundle and, beside it, its report; see `finish`.

    Args:
        network: The trained network.
        recipe: Its recipe.
        parts: The training and the validation samples.
        images: The same, read.
        folder: The bundle's folder.
        machines: What it was trained on, for the card.
        progress: Whether to show a progress bar.

    Returns:
        The bundle's card.
    """
    guarded = bool(recipe.guard_layers)
    plain = recipe.model_copy(update={"data": recipe.data.model_copy(update={"inserted": 0, "implanted": 0})})
    simulated = _synthetic(plain, parts[0], 1.0, progress) if guarded else []
    with _bar(progress) as bar:
        others = _other_scanners(recipe, [image for part in images for image in part]) if guarded else []
        scored = [*images, simulated, others] if guarded else [images[1]]
        task = bar.add_task("calibrating", total=sum(map(len, scored)))
        scores = [
            score_images(network, recipe, part, lambda done: bar.advance(task, done))
            for part in scored
            if part
        ]
    real = [sample for part in parts for sample in part]
    again = real if others else []
    known = Known(
        torch.cat([part.features for part in scores]),
        [
            *(sample.site for sample in real),
            *["simulated"] * len(simulated),
            *(sample.site for sample in again),
        ],
        [
            *(sample.patient for sample in real),
            *(f"simulated {number}" for number in range(len(simulated))),
            *(sample.patient for sample in again),
        ],
    )
    val = scores[1] if guarded else scores[0]
    patients, view = [sample.patient for sample in parts[1]], _view(recipe, parts[0], progress)
    card = finish(network, recipe, val, patients, known, folder, view, machines)
    if isinstance(network, EvidenceNet):  # which calibration has shifted
        val = score_images(network, recipe, images[1])
    history = read_history(folder.parent, len(recipe.phases))
    write_report(report_on(card, val, "validation", history), folder.parent / "report")
    return card


def _other_scanners(recipe: Recipe, images: Sequence[TrainingImage]) -> list[TrainingImage]:
    """The images as other scanners might have given them, where the recipe trains on such."""
    if not recipe.augmentation or not recipe.augmentation.scanner:
        return []
    changed = []
    for number, image in enumerate(images):
        rng = np.random.default_rng((recipe.seed, number, 7001))
        grey = change_scanner(
            image.grey.astype(np.float32) / np.float32(255), rng, recipe.augmentation.scanner
        )
        changed.append(image._replace(grey=np.round(grey * 255).astype(np.uint8)))
    return changed


def _view(recipe: Recipe, samples: Sequence[Sample], progress: bool) -> ViewNet | None:
    """The view check, trained on the training films."""
    if recipe.views is None:
        return None
    plan = recipe.views
    frontals, weights = frontal_pictures(samples)
    with _bar(progress) as bar:
        task = bar.add_task("training the view check", total=plan.pictures + plan.epochs)
        return fit_views(
            frontals,
            photographs(),
            weights=weights,
            check=ViewCheck(limit=plan.limit),
            pictures=plan.pictures,
            epochs=plan.epochs,
            seed=recipe.seed,
            tick=lambda: bar.advance(task),
        )


def _load(
    recipe: Recipe, samples: Sequence[Sample], margin: float, progress: bool
) -> list[TrainingImage] | ImagesOnDisk:
    """Images on the input's grid, made larger by ``margin``: read now, or when they are asked for."""
    if recipe.data.keep == "disk":
        return ImagesOnDisk(samples, _grid(recipe, margin), lambda sample: goal_of(recipe, sample))
    with _bar(progress) as bar:
        task = bar.add_task("reading images", total=len(samples))
        return load_images(
            samples, _grid(recipe, margin), lambda: bar.advance(task), lambda sample: goal_of(recipe, sample)
        )


def _synthetic(
    recipe: Recipe, samples: Sequence[Sample], margin: float, progress: bool
) -> list[TrainingImage]:
    """Simulated images, and clean images with simulated objects in them."""
    wanted = recipe.data.simulated + recipe.data.inserted + recipe.data.implanted
    if not wanted:
        return []
    clean = [sample for sample in samples if sample.label != recipe.poor_class]
    with _bar(progress) as bar:
        task = bar.add_task("simulating images", total=wanted)
        images = []
        for image in synthetic_images(recipe, clean, _grid(recipe, margin)):
            images.append(image)
            bar.advance(task)
    return images


def _grid(recipe: Recipe, margin: float) -> Preprocessing:
    """The recipe's preprocessing on a grid that is larger by ``margin``."""
    rows, columns = recipe.preprocessing.size
    return recipe.preprocessing.model_copy(update={"size": (round(rows * margin), round(columns * margin))})


def _bar(progress: bool) -> Progress:
    """A progress bar with the time that is left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), disable=not progress)
