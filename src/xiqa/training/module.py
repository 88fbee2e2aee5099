"""The Lightning module: one network, one loss, and what is watched on the validation films."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc

from xiqa.models.evidence import EvidenceNet
from xiqa.training.losses import dense_loss, region_loss

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xiqa.training.data import Batch
    from xiqa.training.recipe import Phase, Recipe

__all__ = ["QualityModule"]


class QualityModule(lightning.LightningModule):
    """Trains a quality classifier; the evidence network also learns where the objects are.

    Watched on the validation films: ``val_auc``; for the evidence network ``val_place``, the fraction of
    poor films whose strongest evidence lies on an object; and ``val_score``, their mean, by which the best
    checkpoint is chosen.

    Args:
        network: What to train.
        recipe: The recipe.
        phase: The stretch that this fit trains.
        steps: Optimiser steps of the whole phase.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, phase: Phase, steps: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe, self.phase, self.steps = recipe, phase, steps
        self.frozen = [network.get_submodule(name) for name in phase.frozen]
        for parameter in network.parameters():
            parameter.requires_grad_(True)
        for module in self.frozen:
            module.requires_grad_(False)
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def train(self, mode: bool = True) -> QualityModule:
        """Set the mode of everything but the frozen parts, which keep their statistics."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def _outputs(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Logits ``(N, K)`` and, for the evidence network, its map ``(N, h, w)``."""
        images = batch.images.contiguous(memory_format=torch.channels_last)
        if isinstance(self.network, EvidenceNet):
            evidence = self.network.evidence_map(images)
            return self.network.classify(evidence), evidence[:, 0]
        return self.network(images), None

    def _loss(self, batch: Batch, logits: Tensor, evidence: Tensor | None) -> dict[str, Tensor]:
        """The parts of the loss and their weighted sum, ``loss``."""
        weights = self.phase.loss or self.recipe.loss
        parts = {"image": F.cross_entropy(logits, batch.labels)}
        if evidence is not None:
            parts["dense"] = dense_loss(evidence, batch.target, batch.weight, weights.focus)
            parts["region"] = region_loss(evidence, batch.regions)
        parts["loss"] = torch.stack([getattr(weights, name) * part for name, part in parts.items()]).sum()
        return parts

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """One step."""
        parts = self._loss(batch, *self._outputs(batch))
        self.log_dict({f"train_{name}": part.detach() for name, part in parts.items()}, prog_bar=True)
        return parts["loss"]

    def validation_step(self, batch: Batch, index: int) -> None:
        """Score one batch."""
        logits, evidence = self._outputs(batch)
        parts = self._loss(batch, logits, evidence)
        self.log("val_loss", parts["loss"], batch_size=len(logits))
        hits = _hits(evidence, batch) if evidence is not None else torch.full_like(logits[:, 0], torch.nan)
        poor = logits.softmax(1)[:, self.recipe.poor_class]
        self._seen.append((poor, (batch.labels == self.recipe.poor_class).long(), hits))

    def on_validation_epoch_end(self) -> None:
        """Gather the validation films' scores."""
        columns = [torch.cat(column) for column in zip(*self._seen, strict=True)]
        self._seen.clear()
        poor, labels, hits = (cast("Tensor", self.all_gather(column)).flatten() for column in columns)
        auc = binary_auroc(poor, labels)
        known = hits[~hits.isnan()]
        watched = {"val_auc": auc, "val_score": auc}
        if len(known):
            watched |= {"val_place": known.mean(), "val_score": (auc + known.mean()) / 2}
        self.log_dict(watched, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW under a one-cycle schedule; the backbone learns more slowly than the head."""
        phase = self.phase
        body = getattr(self.network, "body", None)
        slow = _trained(body.parameters()) if isinstance(body, nn.Module) else []
        names = {id(parameter) for parameter in slow}
        fast = [parameter for parameter in _trained(self.network.parameters()) if id(parameter) not in names]
        rates = [phase.learning_rate, phase.learning_rate * phase.backbone_factor]
        groups = [{"params": fast}, {"params": slow}] if slow else [{"params": fast}]
        optimiser = torch.optim.AdamW(groups, lr=phase.learning_rate, weight_decay=self.recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=rates[: len(groups)], total_steps=self.steps, pct_start=0.15
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """The parameters that are not frozen."""
    return [parameter for parameter in parameters if parameter.requires_grad]


def _hits(evidence: Tensor, batch: Batch) -> Tensor:
    """1 where a film's strongest evidence lies on a box, 0 where not, NaN on films without boxes."""
    width = evidence.shape[-1]
    peak = evidence.flatten(1).argmax(1)
    x, y = (peak % width)[:, None], (peak // width)[:, None]
    x0, y0, x1, y1 = batch.regions.unbind(-1)
    on = ((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).any(1).float()
    boxed = (x1 > x0).any(1)
    return torch.where(boxed, on, torch.nan)
