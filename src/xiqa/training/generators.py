r"""Training of the generators behind ``twogenerator``: images that keep a verdict, and images that turn it.

The classifier is frozen. With its margin :math:`m(x)` (the log-odds of the explained class less those at the
verdict's threshold) and the verdict :math:`s = \mathrm{sign}\,m(x)` on a film, both generators minimise

.. math::
    L(x) = \underbrace{\log(1 + e^{-s\,m(g_s(x))})}_{\text{kept}} +
           \underbrace{\log(1 + e^{s\,m(g_a(x))})}_{\text{turned}} +
           \lambda_s\, d(x, g_s(x)) + \lambda_a\, d(x, g_a(x)) + \lambda_p\, d(g_s(x), g_a(x)) +
           \lambda_v\, \mathrm{TV}(g_s(x) - g_a(x))

with :math:`d` the mean absolute difference of the grey values. Source: ``charachon2020combining``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from xiqa.datasets import Sample, by_split
from xiqa.datasets.detect import read_dataset
from xiqa.datasets.phantoms.chest import simulate_chest
from xiqa.errors import ConfigError, DatasetError
from xiqa.models.bundle import load_model
from xiqa.models.generator_bundle import Achieved, GeneratorCard, Networks, save_generators
from xiqa.models.generators import Generated, Generators, network_hash
from xiqa.report.contact_sheet import contact_sheet
from xiqa.training.augment import affine_matrix, augment, warp
from xiqa.training.data import Batch, EpochLoader, FilmSet, load_films
from xiqa.training.recipe import Augmentation, Recipe, read_recipe
from xiqa.types import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xiqa.models import LoadedModel
    from xiqa.models.preprocess import Preprocessing
    from xiqa.training.data import Film

__all__ = [
    "Classifier",
    "FilmParts",
    "GeneratorLoss",
    "GeneratorModule",
    "GeneratorRecipe",
    "classifier_of",
    "fit_generators",
    "generator_loss",
    "run",
    "total_variation",
    "train_generators",
    "write_pictures",
]

STEPS_BETWEEN_CHECKPOINTS = 25
MARGIN = 1.25  # training films are kept this much larger than the input, so that zooming in stays sharp
ENOUGH = 0.5  # share of poor films' verdicts that must turn, or the user is warned
FIRST_SEED = 3_000_000  # of simulated films; no evaluation uses these
PACKAGES = ("xiqa", "torch", "lightning", "numpy")


Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GeneratorLoss(_Section):
    r"""Weights of the loss's parts; grey values lie in [0, 1].

    Attributes:
        similar: :math:`\lambda_s`, of the similar image's distance from the film.
        adversarial: :math:`\lambda_a`, of the adversarial image's.
        pair: :math:`\lambda_p`, of their distance from each other.
        variation: :math:`\lambda_v`, of the total variation of what they differ in: a change of few, whole
            places instead of a pattern of single pixels, which turns many a verdict unseen.
    """

    similar: float = Field(default=10.0, ge=0)
    adversarial: float = Field(default=10.0, ge=0)
    pair: float = Field(default=10.0, ge=0)
    variation: float = Field(default=1.0, ge=0)


class GeneratorRecipe(_Section):
    """One training of generators for one classifier.

    Attributes:
        kind: What the recipe trains.
        name: Of the bundle.
        seed: Of weights, order, augmentation and noise.
        size: (rows, columns) of the images that are generated; None: the classifier's own input.
        crop: (rows, columns) of the part that a step sees, at a random place, and the classifier with it;
            None: the whole. A classifier of local evidence judges a part as it judges the whole, and at its
            own resolution a step costs less.
        focus: How often a part lies around an annotated object, on films that have one; the rest lies
            anywhere.
        explained: The class whose verdict is turned; None: the poor-quality class.
        networks: How the generators are built.
        warmup: Epochs in which one generator learns to draw the films before it becomes the start of both
            (``output = "direct"``; the residual one starts as the identity).
        epochs: After that.
        batch_size: Films a step.
        learning_rate: Of AdamW, at the peak of a one-cycle schedule.
        ramp: Share of the steps during which the weights of distances and variation rise from a tenth to what
            they are in the end: verdicts turn first, then the change becomes small.
        jitter: The classifier sees generated images shifted by up to this many pixels, so that a pattern
            that works at one place only turns no verdict.
        noise: Standard deviation of the noise that it sees on them, grey values.
        simulated: How many simulated radiographs to add, each fourth for validation.
        augmentation: Their random changes; the source finds the geometric ones a useful regularisation.
        loss: The weights.
        pictures: How many validation films are shown with what became of them in ``pictures.png``.
    """

    kind: Literal["twogenerator"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int = 0
    size: Size | None = None
    crop: Size | None = None
    focus: float = Field(default=0.5, ge=0, le=1)
    explained: int | None = Field(default=None, ge=0)
    networks: Networks = Networks()
    warmup: int = Field(default=0, ge=0)
    epochs: int = Field(default=4, ge=1)
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    ramp: float = Field(default=0.5, ge=0, le=1)
    jitter: int = Field(default=2, ge=0)
    noise: float = Field(default=0.02, ge=0)
    simulated: int = Field(default=0, ge=0)
    augmentation: Augmentation | Literal[False] = Augmentation()
    loss: GeneratorLoss = GeneratorLoss()
    pictures: int = Field(default=6, ge=0)

    @classmethod
    def read(cls, path: Path, *, quick: bool = False) -> GeneratorRecipe:
        """Read and check a recipe, or its version in small; see `xiqa.training.recipe.read_recipe`.

        Raises:
            ConfigError: The file is absent, is not TOML, or has a wrong value; names the entry.
        """
        return read_recipe(cls, path, quick=quick)

    def films(self, preprocessing: Preprocessing) -> Recipe:
        """The recipe by which films are read, changed and served: grey, in [0, 1], one channel."""
        grey = preprocessing.model_copy(
            update={"size": self.size or preprocessing.size, "mean": (0.0,), "std": (1.0,)}
        )
        words = dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "")
        return Recipe.model_validate(
            {
                "name": self.name,
                "seed": self.seed,
                "batch_size": self.batch_size,
                "preprocessing": grey,
                "augmentation": self.augmentation,
                "phases": [{"epochs": self.epochs, "size": grey.size}],
                "card": words,
            }
        )


@dataclass(frozen=True, eq=False)
class Classifier:
    r"""A frozen classifier as the generators see it: a margin for images in [0, 1].

    .. math:: m(x) = z_c(x) - \log\sum_{k \neq c} e^{z_k(x)} - m_0

    Attributes:
        network: In evaluation mode, frozen.
        explained: The class :math:`c`.
        limit: :math:`m_0`, the log-odds at the verdict's threshold.
        mean: Of its normalisation, one a channel.
        std: Likewise.
    """

    network: nn.Module
    explained: int = 1
    limit: float = 0.0
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)

    def margin(self, grey: Tensor) -> Tensor:
        """``(N,)``, positive where the class is called, of images ``(N, 1, H, W)``."""
        mean, std = (grey.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        images = ((grey - mean) / std).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.network(images)
        if logits.shape[1] == 1:
            odds = logits[:, 0] if self.explained == 1 else -logits[:, 0]
        else:
            others = [k for k in range(logits.shape[1]) if k != self.explained]
            odds = logits[:, self.explained] - logits[:, others].logsumexp(dim=1)
        return odds - self.limit


def classifier_of(model: LoadedModel, explained: int | None = None) -> Classifier:
    """A bundle's classifier, frozen; its verdict turns at the card's threshold.

    Where another class than the poor one is explained, or there are more than two, it turns at even odds.

    Raises:
        ConfigError: The classifier has no such class.
    """
    card = model.card
    chosen = card.poor_class if explained is None else explained
    if chosen >= len(card.classes):
        raise ConfigError(
            "no such class to explain", expected=f"0 to {len(card.classes) - 1}", got=str(chosen)
        )
    limit = 0.0
    if len(card.classes) == 2 and chosen == card.poor_class:
        limit = _odds_at(card.threshold, lambda odds: _probability(model, odds))
    network = model.network.eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(network, chosen, limit, card.preprocessing.mean, card.preprocessing.std)


def total_variation(images: Tensor) -> Tensor:
    r"""Mean absolute difference of neighbours, ``(N,)`` of ``(N, C, H, W)``.

    .. math:: \mathrm{TV}(d) = \frac{1}{CHW} \sum_u
       \big(\lvert d_{y+1,x} - d_{y,x}\rvert + \lvert d_{y,x+1} - d_{y,x}\rvert\big)

    >>> total_variation(torch.tensor([[[[0.0, 1.0]]]])).item()
    0.5
    """
    down = (images[..., 1:, :] - images[..., :-1, :]).abs().sum(dim=(1, 2, 3))
    right = (images[..., 1:] - images[..., :-1]).abs().sum(dim=(1, 2, 3))
    return (down + right) / images[0].numel()


def generator_loss(
    grey: Tensor,
    generated: Generated,
    margins: tuple[Tensor | None, Tensor],
    verdict: Tensor,
    weights: GeneratorLoss,
) -> dict[str, Tensor]:
    r"""The parts of the loss, each a mean over the batch, and their weighted sum ``loss``.

    Without a similar generator the film itself takes its image's place in the pair, and nothing is kept.

    Args:
        grey: The films :math:`x`, ``(N, 1, H, W)`` in [0, 1].
        generated: :math:`g_s(x)` and :math:`g_a(x)`.
        margins: :math:`m(g_s(x))` and :math:`m(g_a(x))`, ``(N,)``.
        verdict: :math:`s` on the films, ``(N,)`` of -1 and 1.
        weights: See `GeneratorLoss`.

    Returns:
        ``kept``, ``turned``, ``similar``, ``adversarial``, ``pair``, ``variation`` and ``loss``.
    """
    similar, adversarial = generated
    parts = {
        "turned": F.softplus(verdict * margins[1]).mean(),
        "adversarial": (grey - adversarial).abs().mean(),
    }
    total = parts["turned"] + weights.adversarial * parts["adversarial"]
    start = grey if similar is None else similar
    parts["variation"] = total_variation(start - adversarial).mean()
    total = total + weights.variation * parts["variation"]
    if similar is not None and margins[0] is not None:
        parts["kept"] = F.softplus(-verdict * margins[0]).mean()
        parts["similar"] = (grey - similar).abs().mean()
        parts["pair"] = (similar - adversarial).abs().mean()
        total = total + parts["kept"] + weights.similar * parts["similar"] + weights.pair * parts["pair"]
    return {**parts, "loss": total}


class FilmParts(FilmSet):
    """A part of each film, changed at random; draw and seed decide which and how.

    Args:
        films: On the grid of ``recipe.preprocessing``.
        recipe: Seed and augmentation.
        size: (rows, columns) of a part.
        focus: How often it lies around an object, where there is one.
    """

    def __init__(
        self, films: Sequence[Film], recipe: Recipe, size: tuple[int, int], focus: float = 0.0
    ) -> None:
        super().__init__(films, recipe, size, training=True)
        self.focus = focus

    def __getitem__(self, draw: tuple[int, int]) -> Batch:
        epoch, index = draw
        film, options = self.films[index], self.recipe.augmentation or None
        rng = np.random.default_rng((self.recipe.seed, epoch, index, 1))
        # a little more than is wanted, so that a turned part has no black corners
        sides = [
            min(round(side * MARGIN), whole) for side, whole in zip(self.size, film.grey.shape, strict=True)
        ]
        free = [whole - side for side, whole in zip(sides, film.grey.shape, strict=True)]
        y, x = (int(rng.integers(most + 1)) for most in free)
        if film.truths and rng.random() < self.focus:
            centre = film.truths[rng.integers(len(film.truths))].box.centre
            shift = rng.uniform(-0.3, 0.3, 2) * sides
            y, x = (
                int(np.clip(middle - side / 2 + off, 0, most))
                for middle, side, off, most in zip((centre.y, centre.x), sides, shift, free, strict=True)
            )
        grey = film.grey[y : y + sides[0], x : x + sides[1]].astype(np.float32) / np.float32(255)
        matrix = affine_matrix(self.size, self.size, options, rng)  # one pixel stays about one pixel
        matrix[:, 2] += (sides[1] - self.size[1]) // 2, (sides[0] - self.size[0]) // 2
        grey = warp(grey, matrix, self.size)
        if options is not None:
            grey = augment(grey, options, rng)
        nothing = torch.zeros(0)
        images = torch.from_numpy(self.recipe.preprocessing.normalise(grey))
        return Batch(images, torch.tensor(film.label), nothing, nothing, nothing, nothing)


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


def fit_generators(
    generators: Generators,
    classifier: Classifier,
    recipe: GeneratorRecipe,
    loaders: tuple[EpochLoader, EpochLoader],
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
) -> Achieved:
    """Train generators, and say what they do on the validation films.

    ``out/fit/last.ckpt`` is written every few steps, ``metrics.csv`` along the way.

    Args:
        generators: Changed in place; in evaluation mode when this returns.
        classifier: What they explain.
        recipe: The recipe.
        loaders: Training and validation films, of one grey channel in [0, 1].
        out: Folder for checkpoints.
        resume: Go on from the last checkpoint in ``out``.
        progress: Whether to show progress bars.

    Returns:
        What they achieve.
    """
    train, val = loaders
    if recipe.warmup:
        module = GeneratorModule(generators, classifier, recipe, recipe.warmup * len(train), drawing=True)
        _fit(module, train, None, out / "warmup", recipe.warmup, resume=resume, progress=progress)
        if generators.similar is not None:
            generators.similar.load_state_dict(generators.adversarial.state_dict())
        train.epoch, train.served = recipe.warmup, 0
    module = GeneratorModule(generators, classifier, recipe, recipe.epochs * len(train))
    watched = _fit(module, train, val, out / "fit", recipe.epochs, resume=resume, progress=progress)
    generators.eval()
    return Achieved(
        films=len(val.films),
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
    trainer = lightning.Trainer(
        max_epochs=epochs,
        devices=1,
        accelerator="auto",
        callbacks=[
            ModelCheckpoint(
                folder,
                filename="last",
                every_n_train_steps=STEPS_BETWEEN_CHECKPOINTS,
                enable_version_counter=False,
                save_on_train_epoch_end=False,
            )
        ],
        logger=CSVLogger(folder, name="", version="log"),
        log_every_n_steps=10,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=epochs,
        use_distributed_sampler=False,
        enable_progress_bar=progress,
        enable_model_summary=False,
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
        data: The data set's folder; its labels do not matter. None: simulated films alone.
        out: Folder for checkpoints, logs, the resolved recipe, pictures and the bundle.
        resume: Go on from the last checkpoint in ``out``.
        progress: Whether to show progress bars.

    Returns:
        The bundle's card.

    Raises:
        DatasetError: The data set lacks training or validation films.
        ConfigError: The classifier has no such class as is to be explained.
    """
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    classifier = classifier_of(model, recipe.explained)
    films = recipe.films(model.card.preprocessing)
    samples = [*(read_dataset(data).samples if data else ()), *_simulated(recipe)]
    parts = by_split(samples, "train"), by_split(samples, "val")
    for part, kind in zip(parts, ("training", "validation"), strict=True):
        if not part:
            raise DatasetError(
                f"no {kind} films",
                expected="a data set with splits, or simulated = 64 in the recipe",
                got=f"{len(samples)} films",
            )
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(recipe.model_dump_json(indent=1), encoding="utf-8")
    size = films.preprocessing.size
    loaders = (
        EpochLoader(_training_set(recipe, films, parts[0]), recipe.batch_size, seed=recipe.seed),
        EpochLoader(
            FilmSet(load_films(parts[1], films.preprocessing), films, size, training=False),
            recipe.batch_size,
            shuffle=False,
        ),
    )
    torch.manual_seed(recipe.seed)
    networks = recipe.networks
    generators = Generators(networks.count, networks.width, networks.depth, networks.output)
    achieved = fit_generators(generators, classifier, recipe, loaders, out, resume=resume, progress=progress)
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
        size=size,
        networks=networks,
        achieved=achieved,
        recipe=recipe.model_dump(mode="json"),
        versions={package: version(package) for package in PACKAGES},
    )
    return save_generators(out / "bundle", generators, card)


def write_pictures(
    generators: Generators, classifier: Classifier, films: EpochLoader, count: int, path: Path
) -> None:
    """Show what became of some films, those called poor first: film, similar, adversarial, difference.

    Below each generated image stands the classifier's margin; the difference is drawn four times as strong.

    Args:
        generators: In evaluation mode.
        classifier: What they explain.
        films: Where to take films from, in [0, 1].
        count: How many.
        path: The picture.
    """
    rows: list[tuple[list[float], NDArray[np.float32]]] = []
    with torch.inference_mode():
        for batch in films:
            similar, adversarial = generators(batch.images)
            start = batch.images if similar is None else similar
            drawn = [batch.images, start, adversarial]
            margins = torch.stack([classifier.margin(images) for images in drawn], dim=1)
            pictures = torch.cat([*drawn, 4 * (start - adversarial).abs().clamp(max=0.25)], dim=1)
            rows += list(zip(margins.tolist(), pictures.numpy(), strict=True))
            if sum(margin[0] >= 0 for margin, _ in rows) >= count:
                break
    rows.sort(key=lambda row: row[0][0] < 0)  # a stable order: poor ones first
    tiles, captions = [], []
    for values, shown in rows[:count]:
        tiles += [Image(np.ascontiguousarray(one)) for one in shown]
        names = ("film", "similar", "adversarial")
        captions += [f"{name}: margin {value:.2f}" for name, value in zip(names, values, strict=True)]
        captions.append("difference x 4")
    contact_sheet(tiles, captions=captions, columns=4, cell=320).save(path)


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
    plan = GeneratorRecipe.read(recipe, quick=quick)
    if seed is not None:
        plan = plan.model_copy(update={"seed": seed})
    if model is None:
        raise ConfigError(
            "generators explain a classifier", expected="--model NAME or --model FOLDER", got="none"
        )
    card = train_generators(plan, load_model(model), str(model), data, out, resume=resume)
    told = card.achieved
    lines = [f"On {told.films} validation films:"]
    if told.kept is not None:
        lines.append(f"  the similar image keeps the verdict on {told.kept:.0%}")
    if told.flipped is not None:
        lines.append(f"  the adversarial image turns it on {told.flipped:.0%}")
    if told.flipped_poor is not None:
        lines.append(f"  and on {told.flipped_poor:.0%} of those called poor")
    lines.append(f"  the mean change is {told.change:.4f} of the grey range")
    turned = told.flipped if told.flipped_poor is None else told.flipped_poor
    if turned is not None and turned < ENOUGH:
        lines.append("Few verdicts turn, so these generators explain little: look at pictures.png, and train")
        lines.append("for more epochs, at a higher learning rate, or with smaller weights in [loss].")
    lines.append(f"The generators are in {out / 'bundle'}; explain with them:")
    lines.append(f"  xiqa explain IMAGE --model {model} --method twogenerator:bundle={out / 'bundle'}")
    return "\n".join(lines)


def _training_set(recipe: GeneratorRecipe, films: Recipe, samples: Sequence[Sample]) -> FilmSet:
    """The training films, whole (and kept a little larger) or in parts."""
    grid = films.preprocessing
    if recipe.crop is not None:
        rows, columns = (min(pair) for pair in zip(recipe.crop, grid.size, strict=True))
        return FilmParts(load_films(samples, grid), films, (rows, columns), recipe.focus)
    larger = (round(grid.size[0] * MARGIN), round(grid.size[1] * MARGIN))
    kept = load_films(samples, grid.model_copy(update={"size": larger}))
    return FilmSet(kept, films, grid.size, training=True)


def _simulated(recipe: GeneratorRecipe) -> list[Sample]:
    """Simulated radiographs."""
    first, samples = FIRST_SEED + 100_000 * recipe.seed, []
    for seed in range(first, first + recipe.simulated):
        phantom = simulate_chest(seed)
        samples.append(
            Sample(
                key=f"simulated {seed}",
                path=Path(),
                label=phantom.label,
                split="val" if seed % 4 == 3 else "train",
                patient=str(seed),
                annotations=phantom.annotations,
                source=lambda image=phantom.image: image,  # type: ignore[misc]
            )
        )
    return samples


def _probability(model: LoadedModel, odds: float) -> float:
    """The calibrated probability of the poor class at raw log-odds."""
    sign = 1.0 if model.card.poor_class == 1 else -1.0
    if model.card.architecture.classes == 1:
        logits = torch.tensor([[sign * odds]])
    else:
        logits = torch.tensor([[-sign * odds / 2, sign * odds / 2]])
    return float(model.probability(logits)[0])


def _odds_at(probability: float, of: Callable[[float], float]) -> float:
    """The log-odds at which a rising function has a value, by bisection."""
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if of(middle) < probability else (low, middle)
    return (low + high) / 2
