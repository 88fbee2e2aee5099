"""Running a recipe's phases, with checkpoints that a kill cannot hurt."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from xiqa.datasets.balance import label_weights
from xiqa.models.heads.pooled import PooledMLP
from xiqa.training.data import EpochLoader, FeatureSet, ImageSet
from xiqa.training.disk import ImagesOnDisk
from xiqa.training.loop import make_trainer
from xiqa.training.module import QualityModule
from xiqa.training.processes import ONE, Machines, in_first

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from xiqa.training.data import TrainingImage
    from xiqa.training.recipe import Recipe

__all__ = ["fit", "load_average", "load_checkpoint", "read_history"]

HISTORY = "history.json"
STEPS_BETWEEN_CHECKPOINTS = 25


def fit(
    network: nn.Module,
    recipe: Recipe,
    train: Sequence[TrainingImage],
    val: Sequence[TrainingImage],
    out: Path,
    *,
    resume: bool = False,
    machines: Machines = ONE,
    progress: bool = True,
) -> None:
    """Train a network through all phases of a recipe; it ends with the mean of the last ones' best weights.

    ``out/phase-N/last.ckpt`` is written within every epoch and after it, ``best.ckpt`` whenever the
    validation score rises, ``metrics.csv`` along the way.

    Args:
        network: What to train; changed in place.
        recipe: The recipe.
        train: Training images.
        val: Validation images.
        out: Folder for checkpoints.
        resume: Go on from the last checkpoint in ``out`` instead of starting anew.
        machines: What to train on. Every process ends with the same weights; the first alone writes.
        progress: Whether to show progress bars.
    """
    machines.check()
    first_epoch = 0
    for number, phase in enumerate(recipe.phases, start=1):
        folder = out / f"phase-{number}"
        done = folder / "done"
        if not (resume and done.exists()):
            outcome = _fit_phase(
                network, recipe, number, (train, val), folder, first_epoch, resume, machines, progress
            )
            if in_first():
                (folder / HISTORY).write_text(json.dumps(outcome, indent=1), encoding="utf-8")
                done.touch()
        first_epoch += phase.epochs
        load_checkpoint(network, folder / "best.ckpt")
    bests = [out / f"phase-{number}" / "best.ckpt" for number in range(1, len(recipe.phases) + 1)]
    load_average(network, bests[-recipe.average :])
    network.eval().requires_grad_(True)


def read_history(out: Path, phases: int) -> list[dict[str, Any]]:
    """What was watched on the validation images, epoch by epoch through all phases; see `QualityModule`.

    Each row also tells its ``phase`` (from 1), and whether its weights were ``kept`` as the phase's best.
    """
    rows: list[dict[str, Any]] = []
    for number in range(1, phases + 1):
        path = out / f"phase-{number}" / HISTORY
        part = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        best = max(range(len(part)), key=lambda place: part[place]["score"], default=None)
        for place, row in enumerate(part):
            rows.append({**row, "epoch": len(rows) + 1, "phase": number, "kept": place == best})
    return rows


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
    number: int,
    radiographs: tuple[Sequence[TrainingImage], Sequence[TrainingImage]],
    folder: Path,
    first_epoch: int,
    resume: bool,
    machines: Machines,
    progress: bool,
) -> list[dict[str, Any]]:
    """Train one phase from the network's present weights, or from the phase's last checkpoint."""
    phase = recipe.phases[number - 1]
    title = f"Phase {number} of {len(recipe.phases)}" if len(recipe.phases) > 1 else ""
    size = phase.size or recipe.preprocessing.size
    kept = isinstance(network, PooledMLP) and "body" in phase.frozen and not recipe.augmentation
    sets: list[ImageSet | FeatureSet] = []
    for part, training in zip(radiographs, (True, False), strict=True):
        pictures = ImageSet(part, recipe, size, training=training, loss=phase.loss)
        sets.append(_features(cast("PooledMLP", network), recipe, pictures) if kept else pictures)
    labels = (
        radiographs[0].labels
        if isinstance(radiographs[0], ImagesOnDisk)
        else [radiograph.label for radiograph in radiographs[0]]
    )
    weights = label_weights(labels, max(len(recipe.classes), 1 + max(labels)))
    balance = recipe.data.balance
    train = EpochLoader(
        sets[0],
        recipe.batch_size,
        seed=recipe.seed,
        weights=weights[labels] if balance == "sampler" else None,
        first_epoch=first_epoch,
        workers=0 if kept else recipe.workers,
        processes=machines.processes,
    )
    val = EpochLoader(
        sets[1],
        recipe.batch_size,
        shuffle=False,
        first_epoch=first_epoch,
        workers=0 if kept else recipe.workers,
        processes=machines.processes,
    )
    steps = phase.epochs * len(train)
    weighed = torch.as_tensor(weights, dtype=torch.float32) if balance == "weights" else None
    module = QualityModule(network, recipe, phase, steps, weighed, title and f", {title.lower()}").train()
    best = ModelCheckpoint(
        folder, filename="best", monitor="val_score", mode="max", enable_version_counter=False
    )
    trainer = make_trainer(
        folder,
        epochs=phase.epochs,
        steps_between_checkpoints=STEPS_BETWEEN_CHECKPOINTS,
        progress=progress,
        callbacks=[best],
        part=title,
        devices=machines.devices,
        num_nodes=machines.nodes,
        strategy="ddp" if machines.processes > 1 else "auto",
        precision=recipe.precision,
        gradient_clip_val=recipe.optimiser.clip or None,
    )
    checkpoint = folder / "last.ckpt"
    going_on = resume and checkpoint.exists()
    trainer.fit(module, train, val, ckpt_path=str(checkpoint) if going_on else None, weights_only=True)
    return module.history


def _features(network: PooledMLP, recipe: Recipe, radiographs: ImageSet) -> FeatureSet:
    """The features of a frozen body, which are the same in every epoch."""
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    network.to(device).eval()
    loader = EpochLoader(radiographs, recipe.batch_size, shuffle=False, workers=recipe.workers)
    with torch.inference_mode():
        batches = [
            network.features(batch.images.to(device).contiguous(memory_format=torch.channels_last)).cpu()
            for batch in loader
        ]
    network.cpu()
    return FeatureSet(radiographs.images, torch.cat(batches).clone())
