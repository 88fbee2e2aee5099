"""The training step of generators, and what they reach on validation images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import lightning
import torch

from xiqa.training.generators.balance import Balance
from xiqa.training.generators.loss import generator_loss
from xiqa.training.generators.shapes import covering, erasing_loss, lay_shapes
from xiqa.training.generators.unsteady import unsteady
from xiqa.training.loop import require_finite

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.models.explainers.generators import Generated, Generators
    from xiqa.training.data import Batch
    from xiqa.training.generators.classifier import Classifier
    from xiqa.training.generators.recipe import GeneratorRecipe

__all__ = ["GeneratorModule"]


class GeneratorModule(lightning.LightningModule):
    """Trains generators against a frozen classifier, which is no part of the checkpoints.

    Watched on the validation images: ``val_kept``, ``val_flipped``, ``val_flipped_poor``, ``val_change`` (see
    `xiqa.models.explainers.generator_bundle.Achieved`) and ``val_loss``.

    Args:
        generators: What to train.
        classifier: What they explain.
        recipe: The recipe.
        steps: Optimiser steps in all.
        erasing: In the warm-up, what a generator learns to take away: ``"shapes"`` laid over the images, or
            ``"objects"`` put into them, where a batch's ``target`` is the image without. None: it explains.
    """

    def __init__(
        self,
        generators: Generators,
        classifier: Classifier,
        recipe: GeneratorRecipe,
        steps: int,
        *,
        erasing: Literal["shapes", "objects"] | None = None,
    ) -> None:
        super().__init__()
        self.generators = generators
        self.recipe, self.steps, self.erasing = recipe, steps, erasing
        self._classifier = (classifier,)  # in a tuple: no submodule
        self.balance = Balance(recipe.aim)
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
        if self.erasing is not None:
            return self._erase(batch)
        generated, gate = self.generators.draw(grey)
        margin = self.classifier.margin
        with torch.no_grad():
            poor = margin(grey) >= 0
        similar = None if generated.similar is None else margin(self._unsteady(generated.similar))
        turned = margin(self._unsteady(generated.adversarial))
        parts = self._loss(grey, generated, (similar, turned), poor, gate)
        require_finite(parts["loss"], f"step {self.global_step + 1} of the generators")
        losses = {name: part.detach() for name, part in parts.items()} | {"factor": self.balance.factor}
        self.log_dict({f"train_{name}": part for name, part in losses.items()}, prog_bar=True)
        turns = self._turns(poor)
        self.balance.update(((turned >= 0) != poor)[turns])
        return parts["loss"]

    def validation_step(self, batch: Batch, index: int) -> None:
        """Score one batch."""
        grey, margin = batch.images, self.classifier.margin
        generated, gate = self.generators.draw(grey)
        verdict, turned = margin(grey) >= 0, margin(generated.adversarial)
        similar = None if generated.similar is None else margin(generated.similar)
        start = grey if generated.similar is None else generated.similar
        kept = torch.ones_like(verdict) if similar is None else (similar >= 0) == verdict
        change = (start - generated.adversarial).abs().mean(dim=(1, 2, 3))
        self._seen.append(torch.stack([verdict, kept, (turned >= 0) != verdict, change], dim=1))
        parts = self._loss(grey, generated, (similar, turned), verdict, gate)
        self.log("val_loss", parts["loss"], batch_size=len(grey))

    def on_validation_epoch_end(self) -> None:
        """Gather the validation images' scores."""
        seen = torch.cat(self._seen)
        self._seen.clear()
        self.log_dict(_shares(seen), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW under a one-cycle schedule."""
        rate = self.recipe.learning_rate
        if self.erasing is not None and self.recipe.warmup_rate is not None:
            rate = self.recipe.warmup_rate
        optimiser = torch.optim.AdamW(self.generators.parameters(), lr=rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=self.steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _erase(self, batch: Batch) -> Tensor:
        """A step of the warm-up."""
        if self.erasing == "objects":
            radiograph, laid = batch.target, batch.images
            covered = covering(laid, radiograph)
        else:
            radiograph = batch.images
            laid, covered = lay_shapes(radiograph, self._draws())
        loss = erasing_loss(radiograph, self.generators.adversarial.draw(laid), covered)
        require_finite(loss, f"step {self.global_step + 1} of the warm-up")
        self.log("train_erasing", loss.detach(), prog_bar=True)
        return loss

    def _turns(self, poor: Tensor) -> Tensor:
        """Which verdicts the adversarial image shall turn."""
        return poor if self.recipe.turn == "poor" else torch.ones_like(poor)

    def _loss(
        self,
        grey: Tensor,
        generated: Generated,
        margins: tuple[Tensor | None, Tensor],
        poor: Tensor,
        gate: Tensor | None,
    ) -> dict[str, Tensor]:
        """The loss with the recipe's weights as they stand."""
        signs = torch.where(poor, 1.0, -1.0)
        return generator_loss(
            grey,
            generated,
            margins,
            signs,
            self.recipe.loss,
            turns=self._turns(poor),
            gate=gate,
            factor=self.balance.factor,
        )

    def _unsteady(self, images: Tensor) -> Tensor:
        """Images as the classifier is shown them, alike for both generators; the step decides how."""
        recipe = self.recipe
        return unsteady(
            images,
            self._draws(),
            jitter=recipe.jitter,
            zoom=recipe.zoom,
            blur=recipe.blur,
            noise=recipe.noise,
        )

    def _draws(self) -> torch.Generator:
        """What is random in this step, the same after a restart."""
        return torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.global_step)


def _shares(seen: Tensor) -> dict[str, Tensor]:
    """What was achieved on images: rows of verdict, kept, flipped and change."""
    verdict, kept, flipped, change = seen.unbind(dim=1)
    shares = {"val_kept": kept.mean(), "val_flipped": flipped.mean(), "val_change": change.mean()}
    if bool(verdict.any()):
        shares["val_flipped_poor"] = flipped[verdict > 0].mean()
    return shares
