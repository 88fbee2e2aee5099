"""Running a recipe's phases, with checkpoints that a kill cannot hurt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from xiqa.training.data import EpochLoader, FilmSet
from xiqa.training.module import QualityModule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from xiqa.training.data import Film
    from xiqa.training.recipe import Phase, Recipe

__all__ = ["fit", "load_average", "load_checkpoint"]

STEPS_BETWEEN_CHECKPOINTS = 25


def fit(
    network: nn.Module,
    recipe: Recipe,
    train: Sequence[Film],
    val: Sequence[Film],
    out: Path,
    *,
    resume: bool = False,
    devices: int = 1,
    progress: bool = True,
) -> None:
    """Train a network through all phases of a recipe; it ends with the mean of the last ones' best weights.

    ``out/phase-N/last.ckpt`` is written within every epoch and after it, ``best.ckpt`` whenever the
    validation score rises, ``metrics.csv`` along the way.

    Args:
        network: What to train; changed in place.
        recipe: The recipe.
        train: Training films.
        val: Validation films.
        out: Folder for checkpoints.
        resume: Go on from the last checkpoint in ``out`` instead of starting anew.
        devices: How many devices (or processes, without an accelerator) to train on.
        progress: Whether to show progress bars.
    """
    first_epoch = 0
    for number, phase in enumerate(recipe.phases, start=1):
        folder = out / f"phase-{number}"
        done = folder / "done"
        if not (resume and done.exists()):
            _fit_phase(network, recipe, phase, (train, val), folder, first_epoch, resume, devices, progress)
            done.touch()
        first_epoch += phase.epochs
        load_checkpoint(network, folder / "best.ckpt")
    bests = [out / f"phase-{number}" / "best.ckpt" for number in range(1, len(recipe.phases) + 1)]
    load_average(network, bests[-recipe.average :])
    network.eval().requires_grad_(True)


def load_checkpoint(network: nn.Module, path: Path) -> None:
    """Take the network's weights from a checkpoint of `QualityModule`."""
    load_average(network, [path])


def load_average(network: nn.Module, paths: Sequence[Path]) -> None:
    """Take the mean of several checkpoints' weights and batch norm statistics."""
    states = [torch.load(path, map_location="cpu", weights_only=True)["state_dict"] for path in paths]
    mean = {
        name.removeprefix("network."): torch.stack([state[name].double() for state in states]).mean(0)
        for name in states[0]
    }
    own = network.state_dict()
    network.load_state_dict({name: mean[name].to(value.dtype) for name, value in own.items()})


def _fit_phase(
    network: nn.Module,
    recipe: Recipe,
    phase: Phase,
    films: tuple[Sequence[Film], Sequence[Film]],
    folder: Path,
    first_epoch: int,
    resume: bool,
    devices: int,
    progress: bool,
) -> None:
    """Train one phase from the network's present weights, or from the phase's last checkpoint."""
    train, val = (
        EpochLoader(
            FilmSet(part, recipe, phase.size, training=training, loss=phase.loss),
            recipe.batch_size,
            seed=recipe.seed,
            shuffle=training,
            first_epoch=first_epoch,
            workers=recipe.workers,
        )
        for part, training in zip(films, (True, False), strict=True)
    )
    steps = phase.epochs * -(-len(train) // devices)
    module = QualityModule(network, recipe, phase, steps).train()
    last = ModelCheckpoint(
        folder,
        filename="last",
        every_n_train_steps=STEPS_BETWEEN_CHECKPOINTS,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
    best = ModelCheckpoint(
        folder, filename="best", monitor="val_score", mode="max", enable_version_counter=False
    )
    trainer = lightning.Trainer(
        max_epochs=phase.epochs,
        devices=devices,
        accelerator="auto",
        strategy="ddp" if devices > 1 else "auto",
        precision=recipe.precision,
        callbacks=[last, best],
        logger=CSVLogger(folder, name="", version="log"),
        log_every_n_steps=10,
        gradient_clip_val=5.0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=progress,
        enable_model_summary=False,
    )
    checkpoint = folder / "last.ckpt"
    going_on = resume and checkpoint.exists()
    trainer.fit(module, train, val, ckpt_path=str(checkpoint) if going_on else None, weights_only=True)
