"""The Lightning module: one network, one loss, and what is watched on the validation images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import lightning
import numpy as np
import torch
import torch.distributed
from torch import Tensor, nn

from xiqa.errors import TrainingError
from xiqa.metrics.roc import roc_auc
from xiqa.models.heads.evidence import EvidenceNet
from xiqa.models.outputs import class_scores, read_outputs
from xiqa.training.goals import is_poor, truth_of
from xiqa.training.loop import require_finite
from xiqa.training.losses import dense_loss, image_loss, region_loss
from xiqa.training.processes import alone, gathered, mean_over, share

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from xiqa.models.heads.pooled import PooledMLP
    from xiqa.training.data import Batch
    from xiqa.training.losses import Mean
    from xiqa.training.recipe import Optimiser, Phase, Recipe

__all__ = ["QualityModule"]

SHOWN = ("auc", "place", "score")


class QualityModule(lightning.LightningModule):
    """Trains a quality classifier; the evidence network also learns where the objects are.

    Watched on the validation images: ``val_auc`` of poor against good; ``val_accuracy`` and each class's
    ``val_recall_CLASS``; for the evidence network ``val_place``, the fraction of poor images whose strongest
    evidence lies on an object; and ``val_score``, what the recipe's ``best_by`` names, by which the best
    checkpoint is chosen. `history` keeps them epoch by epoch, across a restart too.

    Args:
        network: What to train.
        recipe: The recipe.
        phase: The stretch that this fit trains.
        steps: Optimiser steps of the whole phase.
        class_weights: Of the loss, one a class; None: all alike.
        part: Which phase this is, for messages.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        phase: Phase,
        steps: int,
        class_weights: Tensor | None = None,
        part: str = "",
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe, self.phase, self.steps, self.part = recipe, phase, steps, part
        self.history: list[dict[str, Any]] = []
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.frozen = [network.get_submodule(name) for name in phase.frozen]
        for parameter in network.parameters():
            parameter.requires_grad_(True)
        for module in self.frozen:
            module.requires_grad_(False)
        self._seen: list[tuple[Tensor, ...]] = []

    def train(self, mode: bool = True) -> QualityModule:
        """Set the mode of everything but the frozen parts, which keep their statistics."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def _outputs(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Logits ``(N, K)`` and, for the evidence network, its map ``(N, h, w)``."""
        if batch.images.ndim == 2:  # what a frozen body gives
            return cast("PooledMLP", self.network).head(batch.images), None
        images = batch.images.contiguous(memory_format=torch.channels_last)
        if isinstance(self.network, EvidenceNet):
            evidence = self.network.evidence_map(images)
            return self.network.classify(evidence), evidence[:, 0]
        return self.network(images), None

    def _loss(
        self, batch: Batch, logits: Tensor, evidence: Tensor | None, mean: Mean = alone
    ) -> dict[str, Tensor]:
        """The parts of the loss and their weighted sum, ``loss``."""
        weights = self.phase.loss or self.recipe.loss
        given = cast("Tensor | None", self.class_weights)
        parts = {
            "image": image_loss(self.recipe.outputs.task, logits, batch.labels, batch.goals, given, mean)
        }
        if evidence is not None:
            parts["dense"] = dense_loss(evidence, batch.target, batch.weight, weights.focus, mean)
            parts["region"] = region_loss(evidence, batch.regions, mean)
        parts["loss"] = torch.stack([getattr(weights, name) * part for name, part in parts.items()]).sum()
        return parts

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """One step; each process gives its share of the loss of the whole batch."""
        parts = self._loss(batch, *self._trained_outputs(batch), mean=share)
        values = mean_over(torch.stack([part.detach() for part in parts.values()]))
        require_finite(values[-1], f"step {index + 1} of epoch {self.current_epoch + 1}{self.part}")
        self.log_dict(
            {f"train_{name}": part for name, part in zip(parts, values, strict=True)}, prog_bar=True
        )
        return parts["loss"]

    def _trained_outputs(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """`_outputs`, where batch norm must have something to norm."""
        try:
            return self._outputs(batch)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise TrainingError(
                "batch norm cannot learn from a single value a channel",
                expected="batches of two images or more for each device, or maps of more than one place",
                got=f"{len(batch.labels)} image of {tuple(batch.images.shape[1:])}",
                todo="raise batch_size, freeze the part, or take larger images",
            ) from error

    def on_validation_epoch_start(self) -> None:
        """All processes judge by the same batch norm statistics, those that the checkpoint holds."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Score one batch."""
        logits, evidence = self._outputs(batch)
        parts = self._loss(batch, logits, evidence)
        hits = _hits(evidence, batch) if evidence is not None else torch.full_like(logits[:, 0], torch.nan)
        loss = parts["loss"].expand(len(logits))
        self._seen.append((logits, batch.labels, batch.goals, hits, loss, batch.indices))

    def on_validation_epoch_end(self) -> None:
        """Gather the validation images' scores, of all processes, in the images' order."""
        columns = [torch.cat(column).cpu() for column in zip(*self._seen, strict=True)]
        self._seen.clear()
        *columns, indices = (torch.cat(parts) for parts in zip(*gathered(columns), strict=True))
        logits, labels, goals, hits, losses = (column[indices.argsort()] for column in columns)
        require_finite(logits.sum(), f"the validation of epoch {self.current_epoch + 1}{self.part}")
        watched = self._watched(logits.double().numpy(), labels.numpy(), goals.numpy())
        known = hits[~hits.isnan()]
        if len(known):
            watched["place"] = float(known.mean())
        watched["loss"] = float(losses.mean())
        watched["score"] = self._score(watched)
        self.history.append({"epoch": self.current_epoch, **watched})
        for name, value in watched.items():
            self.log(f"val_{name.replace(':', '_')}", value, prog_bar=name in SHOWN, sync_dist=True)

    def _watched(
        self, logits: NDArray[np.float64], labels: NDArray[Any], goals: NDArray[Any]
    ) -> dict[str, float]:
        """AUC of poor against good, accuracy, and the recall of each class or problem."""
        probabilities, names, exclusive = class_scores(self.recipe, logits)
        truth, _ = truth_of(self.recipe, labels, goals)
        poor = is_poor(self.recipe, labels, goals)
        scores = read_outputs(self.recipe, logits).probabilities
        right = np.asarray(probabilities.argmax(1) == truth if exclusive else (probabilities >= 0.5) == truth)
        watched = {
            "auc": _area(scores, poor),
            "accuracy": float(right.mean()),
        }
        for place, name in enumerate(names):
            there = truth == place if exclusive else truth[:, place] == 1
            hits = right[there] if exclusive else right[there, place]
            watched[f"recall:{name}"] = float(hits.mean()) if there.any() else 0.0
        return watched

    def _score(self, watched: dict[str, float]) -> float:
        """What the recipe chooses the best epoch by; higher is better."""
        best_by = self.recipe.best_by
        if best_by == "loss":
            return -watched["loss"]
        if best_by == "score":
            return (watched["auc"] + watched["place"]) / 2 if "place" in watched else watched["auc"]
        return watched[best_by]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the history with the weights."""
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the history."""
        self.history = list(checkpoint.get("history", []))

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser and schedule; a network's ``body`` learns more slowly than its head."""
        phase, options = self.phase, self.recipe.optimiser
        body = getattr(self.network, "body", None)
        slow = _trained(body.parameters()) if isinstance(body, nn.Module) else []
        names = {id(parameter) for parameter in slow}
        fast = [parameter for parameter in _trained(self.network.parameters()) if id(parameter) not in names]
        rates = [phase.learning_rate, phase.learning_rate * phase.backbone_factor]
        pairs = [pair for pair in zip((fast, slow), rates, strict=True) if pair[0]]
        groups = [{"params": parameters, "lr": rate} for parameters, rate in pairs]
        optimiser = _optimiser(options, groups)
        if options.schedule == "constant":
            return optimiser
        schedule: Any
        if options.schedule == "step":
            schedule = torch.optim.lr_scheduler.StepLR(optimiser, options.every, options.factor)
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=[rate for _, rate in pairs],
            total_steps=self.steps,
            pct_start=0.15,
            cycle_momentum=options.name != "sgd" or options.momentum > 0,
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _optimiser(options: Optimiser, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimiser that a recipe names."""
    decay = options.weight_decay
    if options.name == "sgd":
        return torch.optim.SGD(groups, momentum=options.momentum, weight_decay=decay)
    make = torch.optim.AdamW if options.name == "adamw" else torch.optim.Adam
    return make(groups, weight_decay=decay)


def _trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """The parameters that are not frozen."""
    return [parameter for parameter in parameters if parameter.requires_grad]


def _hits(evidence: Tensor, batch: Batch) -> Tensor:
    """1 where an image's strongest evidence lies on a box, 0 where not, NaN on images without boxes."""
    width = evidence.shape[-1]
    peak = evidence.flatten(1).argmax(1)
    x, y = (peak % width)[:, None], (peak // width)[:, None]
    x0, y0, x1, y1 = batch.regions.unbind(-1)
    on = ((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).any(1).float()
    boxed = (x1 > x0).any(1)
    return torch.where(boxed, on, torch.nan)


def _area(scores: NDArray[np.float64], poor: NDArray[Any]) -> float:
    """The AUC; 0 where all images are alike, so that a run chosen by it goes on."""
    area = roc_auc(scores, poor)
    return 0.0 if np.isnan(area) else area
