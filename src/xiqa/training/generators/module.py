"""The training step of generators, and what they reach on validation films."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning
import torch

from xiqa.training.generators.loss import generator_loss
from xiqa.training.generators.recipe import GeneratorLoss

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.models.generators import Generated, Generators
    from xiqa.training.data import Batch
    from xiqa.training.generators.classifier import Classifier
    from xiqa.training.generators.recipe import GeneratorRecipe

__all__ = ["GeneratorModule"]


class GeneratorModule(lightning.LightningModule):
    """Trains generators against a frozen classifier, which is no part of the checkpoints.

    Watched on the validation films: ``val_kept``, ``val_flipped``, ``val_flipped_poor``, ``val_change`` (see
    `xiqa.models.generator_bundle.Achieved`) and ``val_loss``.

    Args:
        generators: What to train.
        classifier: What they explain.
        recipe: The recipe.
        steps: Optimiser steps in all.
        drawing: Whether the generator only learns to give the film back (the warm-up).
    """

    def __init__(
        self,
        generators: Generators,
        classifier: Classifier,
        recipe: GeneratorRecipe,
        steps: int,
        *,
        drawing: bool = False,
    ) -> None:
        super().__init__()
        self.generators = generators
        self.recipe, self.steps, self.drawing = recipe, steps, drawing
        self._classifier = (classifier,)  # in a tuple: no submodule
        self._seen: list[Tensor] = []

    @property
    def classifier(self) -> Classifier:
        """The frozen classifier."""
        return self._classifier[0]

    def on_fit_start(self) -> None:
        """The classifier goes where the generators are."""
        self.classifier.network.to(self.device)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """One step."""
        grey = batch.images
        if self.drawing:
            loss: Tensor = (grey - self.generators.adversarial(grey)).abs().mean()
            self.log("train_drawing", loss.detach(), prog_bar=True)
            return loss
        generated = self.generators(grey)
        parts = self._parts(grey, generated)
        self.log_dict({f"train_{name}": part.detach() for name, part in parts.items()}, prog_bar=True)
        return parts["loss"]

    def validation_step(self, batch: Batch, index: int) -> None:
        """Score one batch."""
        grey, margin = batch.images, self.classifier.margin
        generated = self.generators(grey)
        verdict, turned = margin(grey) >= 0, margin(generated.adversarial)
        similar = None if generated.similar is None else margin(generated.similar)
        start = grey if generated.similar is None else generated.similar
        kept = torch.ones_like(verdict) if similar is None else (similar >= 0) == verdict
        change = (start - generated.adversarial).abs().mean(dim=(1, 2, 3))
        self._seen.append(torch.stack([verdict, kept, (turned >= 0) != verdict, change], dim=1))
        signs = torch.where(verdict, 1.0, -1.0)
        parts = generator_loss(grey, generated, (similar, turned), signs, self.recipe.loss)
        self.log("val_loss", parts["loss"], batch_size=len(grey))

    def on_validation_epoch_end(self) -> None:
        """Gather the validation films' scores."""
        seen = torch.cat(self._seen)
        self._seen.clear()
        self.log_dict(_shares(seen), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW under a one-cycle schedule."""
        rate = self.recipe.learning_rate
        optimiser = torch.optim.AdamW(self.generators.parameters(), lr=rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=self.steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _parts(self, grey: Tensor, generated: Generated) -> dict[str, Tensor]:
        """The loss, with generated images as the classifier is shown them: unsteadily."""
        margin = self.classifier.margin
        with torch.no_grad():
            verdict = torch.where(margin(grey) >= 0, 1.0, -1.0)
        similar = None if generated.similar is None else margin(self._unsteady(generated.similar))
        margins = similar, margin(self._unsteady(generated.adversarial))
        return generator_loss(grey, generated, margins, verdict, self._weights())

    def _weights(self) -> GeneratorLoss:
        """The weights of the present step; they rise over the first part of the training."""
        rising = self.recipe.ramp * self.steps
        share = min(1.0, 0.1 + 0.9 * self.global_step / rising) if rising else 1.0
        full = self.recipe.loss.model_dump()
        return GeneratorLoss(**{name: share * weight for name, weight in full.items()})

    def _unsteady(self, images: Tensor) -> Tensor:
        """Images shifted and with noise, alike for both generators; the step decides how."""
        recipe = self.recipe
        draws = torch.Generator().manual_seed(recipe.seed * 1_000_003 + self.global_step)
        if recipe.jitter:
            shift = torch.randint(-recipe.jitter, recipe.jitter + 1, (2,), generator=draws)
            images = images.roll((int(shift[0]), int(shift[1])), dims=(-2, -1))
        if recipe.noise:
            images = images + recipe.noise * torch.randn(images.shape, generator=draws).to(images)
        return images


def _shares(seen: Tensor) -> dict[str, Tensor]:
    """What was achieved on films: rows of verdict, kept, flipped and change."""
    verdict, kept, flipped, change = seen.unbind(dim=1)
    shares = {"val_kept": kept.mean(), "val_flipped": flipped.mean(), "val_change": change.mean()}
    if bool(verdict.any()):
        shares["val_flipped_poor"] = flipped[verdict > 0].mean()
    return shares
