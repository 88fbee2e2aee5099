"""The loop under every training: checkpoints within the epoch, measures as CSV, and no words but ours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger

from xiqa.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lightning.pytorch.callbacks import Callback
    from torch import Tensor

__all__ = ["EpochBar", "make_trainer", "require_finite"]


class EpochBar(RichProgressBar):
    """Lightning's bar, which counts epochs from 1 and says what they are of.

    Args:
        part: What is trained, before the epoch; empty: the whole.
    """

    def __init__(self, part: str = "") -> None:
        super().__init__()
        self.part = part

    def _get_train_description(self, current_epoch: int) -> str:
        whole = self.trainer.max_epochs
        return f"{self.part}{', epoch' if self.part else 'Epoch'} {current_epoch + 1} of {whole}"


def require_finite(loss: Tensor, where: str) -> None:
    """Stop a training whose loss is no number any more, which no further step would mend.

    Args:
        loss: Of this step.
        where: Which step it is, for the message.

    Raises:
        TrainingError: It is infinite or not a number.
    """
    if bool(torch.isfinite(loss).all()):
        return
    raise TrainingError(
        f"the training has no finite loss any more in {where}",
        expected="a finite loss",
        got=str(float(loss.detach().flatten()[0])),
        todo="lower the learning rate, clip the gradient (optimiser.clip), train in 32 bits, or look for "
        "images and goals that are not finite",
    )


def make_trainer(
    folder: Path,
    *,
    epochs: int,
    steps_between_checkpoints: int,
    progress: bool,
    part: str = "",
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
        part: What it says is trained.
        callbacks: More than the one that writes checkpoints.
        options: Others of ``lightning.Trainer``.

    Raises:
        ConfigError: This machine cannot give the devices that are asked for.
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
    bars: list[Callback] = [EpochBar(part)] if progress else []
    try:
        return lightning.Trainer(
            max_epochs=epochs,
            accelerator="auto",
            callbacks=[last, *bars, *callbacks],
            logger=CSVLogger(folder, name="", version="log"),
            log_every_n_steps=10,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
            **options,
        )
    except MisconfigurationException as error:
        raise ConfigError("cannot train so on this machine", got=str(error).partition("\n")[0]) from error
