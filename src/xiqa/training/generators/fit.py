"""Running the training of generators, with checkpoints to go on from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from xiqa.models.explainers.generator_bundle import Achieved
from xiqa.training.generators.module import GeneratorModule
from xiqa.training.loop import make_trainer

if TYPE_CHECKING:
    from pathlib import Path

    from xiqa.models.explainers.generators import Generators
    from xiqa.training.data import EpochLoader
    from xiqa.training.generators.classifier import Classifier
    from xiqa.training.generators.recipe import GeneratorRecipe

__all__ = ["fit_generators"]

STEPS_BETWEEN_CHECKPOINTS = 25


def fit_generators(
    generators: Generators,
    classifier: Classifier,
    recipe: GeneratorRecipe,
    loaders: tuple[EpochLoader, EpochLoader],
    out: Path,
    *,
    erasing: EpochLoader | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Achieved:
    """Train generators, and say what they do on the validation images.

    ``out/fit/last.ckpt`` is written every few steps, ``metrics.csv`` along the way.

    Args:
        generators: Changed in place; in evaluation mode when this returns.
        classifier: What they explain.
        recipe: The recipe.
        loaders: Training and validation images, of one grey channel in [0, 1].
        out: Folder for checkpoints.
        erasing: Images with objects and without, for the warm-up; None: shapes are laid over the training
            images.
        resume: Go on from the last checkpoint in ``out``.
        progress: Whether to show progress bars.

    Returns:
        What they achieve.
    """
    train, val = loaders
    if recipe.warmup:
        first = erasing or train
        module = GeneratorModule(
            generators,
            classifier,
            recipe,
            recipe.warmup * len(first),
            erasing="shapes" if erasing is None else "objects",
        )
        _fit(module, first, None, out / "warmup", recipe.warmup, resume=resume, progress=progress)
        if generators.similar is not None:
            generators.similar.load_state_dict(generators.adversarial.state_dict())
        train.epoch, train.served = recipe.warmup, 0
    module = GeneratorModule(generators, classifier, recipe, recipe.epochs * len(train))
    watched = _fit(module, train, val, out / "fit", recipe.epochs, resume=resume, progress=progress)
    generators.eval()
    return Achieved(
        images=len(val.images),
        kept=watched["val_kept"] if generators.similar is not None else None,
        flipped=watched["val_flipped"],
        flipped_poor=watched.get("val_flipped_poor"),
        change=watched["val_change"],
    )


def _fit(
    module: GeneratorModule,
    train: EpochLoader,
    val: EpochLoader | None,
    folder: Path,
    epochs: int,
    *,
    resume: bool,
    progress: bool,
) -> dict[str, float]:
    """Run Lightning's loop; a finished one is only read again."""
    done, checkpoint = folder / "done.ckpt", folder / "last.ckpt"
    trainer = make_trainer(
        folder,
        epochs=epochs,
        steps_between_checkpoints=STEPS_BETWEEN_CHECKPOINTS,
        progress=progress,
        devices=1,
        gradient_clip_val=1.0,
        check_val_every_n_epoch=epochs,
    )
    if resume and done.exists():
        state = torch.load(done, map_location="cpu", weights_only=True)
        module.generators.load_state_dict(state["generators"])
        return dict(state["watched"])
    going_on = resume and checkpoint.exists()
    start = str(checkpoint) if going_on else None
    trainer.fit(module.train(), train, val, ckpt_path=start, weights_only=True)
    watched = {name: float(value) for name, value in trainer.callback_metrics.items()}
    torch.save({"generators": module.generators.state_dict(), "watched": watched}, done)
    return watched
