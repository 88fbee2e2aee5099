"""From a recipe, a classifier and images to a bundle of generators."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
import torch

from xiqa.datasets import by_split
from xiqa.datasets.detect import read_dataset
from xiqa.errors import DatasetError
from xiqa.models.bundle import load_model
from xiqa.models.explainers.generator_bundle import GeneratorCard, save_generators
from xiqa.models.explainers.generators import Generators, network_hash
from xiqa.simulation.seeds import GENERATORS
from xiqa.training.explainers import read_plan, simulated_images
from xiqa.training.generators.classifier import classifier_of
from xiqa.training.generators.fit import fit_generators
from xiqa.training.generators.parts import erasing_loader, image_loaders
from xiqa.training.generators.pictures import write_pictures
from xiqa.training.generators.recipe import GeneratorRecipe

if TYPE_CHECKING:
    from xiqa.models import LoadedModel

__all__ = ["run", "train_generators"]

ENOUGH = 0.5  # share of poor images' verdicts that must turn, or the user is warned
PACKAGES = ("xiqa", "torch", "lightning", "numpy")


def train_generators(
    recipe: GeneratorRecipe,
    model: LoadedModel,
    name: str,
    data: Path | None,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
) -> GeneratorCard:
    """Train generators for a classifier and write their bundle to ``out/bundle``.

    Args:
        recipe: What to do.
        model: The classifier; it is frozen.
        name: What it is called, for the card.
        data: The data set's folder; its labels do not matter. None: simulated images alone.
        out: Folder for checkpoints, logs, the resolved recipe, pictures and the bundle.
        resume: Go on from the last checkpoint in ``out``.
        progress: Whether to show progress bars.

    Returns:
        The bundle's card.

    Raises:
        DatasetError: The data set lacks training or validation images.
        ConfigError: The classifier has no such class as is to be explained.
    """
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    classifier = classifier_of(model, recipe.explained)
    images = recipe.image_recipe(model.card.preprocessing)
    simulated = simulated_images(GENERATORS.take(recipe.simulated, recipe.seed), annotated=True)
    samples = [*(read_dataset(data).samples if data else ()), *simulated]
    parts = by_split(samples, "train"), by_split(samples, "val")
    for part, kind in zip(parts, ("training", "validation"), strict=True):
        if not part:
            raise DatasetError(
                f"no {kind} images",
                expected="a data set with splits, or simulated = 64 in the recipe",
                got=f"{len(samples)} images",
            )
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(recipe.model_dump_json(indent=1), encoding="utf-8")
    loaders = image_loaders(recipe, images, *parts)
    torch.manual_seed(recipe.seed)
    networks = recipe.networks
    generators = Generators(networks.count, networks.width, networks.depth, networks.output)
    erasing = erasing_loader(recipe, images, parts[0]) if recipe.warmup else None
    achieved = fit_generators(
        generators, classifier, recipe, loaders, out, erasing=erasing, resume=resume, progress=progress
    )
    if recipe.pictures:
        write_pictures(generators, classifier, loaders[1], recipe.pictures, out / "pictures.png")
    card = GeneratorCard(
        name=recipe.name,
        created=datetime.now(UTC).date().isoformat(),
        classifier=name,
        classifier_sha256=network_hash(model.network),
        explained=classifier.explained,
        mean=classifier.mean,
        std=classifier.std,
        input_size=model.card.preprocessing.size,
        size=images.preprocessing.size,
        networks=networks,
        achieved=achieved,
        recipe=recipe.model_dump(mode="json"),
        versions={package: version(package) for package in PACKAGES},
    )
    return save_generators(out / "bundle", generators, card)


def run(
    recipe: Path,
    data: Path | None,
    out: Path,
    *,
    model: str | None,
    resume: bool,
    seed: int | None,
    quick: bool = False,
) -> str:
    """Train generators as a recipe says, and tell what they do; see `xiqa.cli.train`.

    Raises:
        ConfigError: The recipe has a wrong value, or no model is named.
    """
    plan, name = read_plan(GeneratorRecipe, recipe, model=model, seed=seed, quick=quick)
    card = train_generators(plan, load_model(name), name, data, out, resume=resume)
    achieved = card.achieved
    lines = [f"On {achieved.images} validation images:"]
    if achieved.kept is not None:
        lines.append(f"  the similar image keeps the verdict on {achieved.kept:.0%}")
    if achieved.flipped is not None:
        lines.append(f"  the adversarial image turns it on {achieved.flipped:.0%}")
    if achieved.flipped_poor is not None:
        lines.append(f"  and on {achieved.flipped_poor:.0%} of those called poor")
    lines.append(f"  the mean change is {achieved.change:.4f} of the grey range")
    turned = achieved.flipped if achieved.flipped_poor is None else achieved.flipped_poor
    if turned is not None and turned < ENOUGH:
        lines.append("Few verdicts turn, so these generators explain little: look at pictures.png, and train")
        lines.append("for more epochs, at a higher learning rate, or with smaller weights in [loss].")
    lines.append(f"The generators are in {out / 'bundle'}; explain with them:")
    lines.append(f"  xiqa explain IMAGE --model {name} --method twogenerator:bundle={out / 'bundle'}")
    return "\n".join(lines)
