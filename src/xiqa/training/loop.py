"""The loop under every training: checkpoints within the epoch, measures as CSV, and no words but ours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lightning.pytorch.callbacks import Callback

__all__ = ["make_trainer"]


def make_trainer(
    folder: Path,
    *,
    epochs: int,
    steps_between_checkpoints: int,
    progress: bool,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> lightning.Trainer:
    """Lightning's trainer, which writes ``folder/last.ckpt`` every few steps and ``folder/log/metrics.csv``.

    What Lightning tells of devices, and its tips, stay out of the terminal; its warnings do not.

    Args:
        folder: Where checkpoints and measures go.
        epochs: How many.
        steps_between_checkpoints: How much a kill may cost.
        progress: Whether to show a progress bar.
        callbacks: More than the one that writes checkpoints.
        options: Others of ``lightning.Trainer``.
    """
    for package in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)
    last = ModelCheckpoint(
        folder,
        filename="last",
        every_n_train_steps=steps_between_checkpoints,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        callbacks=[last, *callbacks],
        logger=CSVLogger(folder, name="", version="log"),
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=progress,
        enable_model_summary=False,
        **options,
    )
