"""A training recipe: everything that decides a model, read from one TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xiqa.errors import ConfigError
from xiqa.models.architecture import Architecture
from xiqa.models.card import Layers
from xiqa.models.preprocess import Preprocessing

__all__ = ["Augmentation", "CardText", "Data", "Loss", "Phase", "Recipe"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Section):
    """Which films to learn from.

    Attributes:
        layout: ``foreign_objects``: the boxed films with kinds and zones; ``object_cxr``: ``train.csv``,
            ``dev.csv`` and an optional ``test.csv`` beside the images.
        simulated: How many simulated films to train on as well.
        inserted: How many copies of clean training films to train on, with simulated objects put into them.
    """

    layout: Literal["foreign_objects", "object_cxr"] = "foreign_objects"
    simulated: int = Field(default=0, ge=0)
    inserted: int = Field(default=0, ge=0)


class Augmentation(_Section):
    """Random changes that a radiograph may show by itself.

    Attributes:
        rotate: Largest rotation in degrees.
        scale: Largest relative change of size.
        translate: Largest shift, as a fraction of the side.
        flip: Probability of a left-right mirror image.
        contrast: Largest relative change of contrast and of gamma.
        brightness: Largest shift of the grey values.
        noise: Largest standard deviation of added noise.
    """

    rotate: float = Field(default=6.0, ge=0)
    scale: float = Field(default=0.12, ge=0, lt=1)
    translate: float = Field(default=0.05, ge=0, lt=1)
    flip: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.25, ge=0, lt=1)
    brightness: float = Field(default=0.08, ge=0, lt=1)
    noise: float = Field(default=0.02, ge=0)


class Loss(_Section):
    """Weights of the parts of the loss; see `xiqa.training.losses`.

    Attributes:
        image: Cross-entropy of the image's class.
        dense: Focal cross-entropy of the evidence at every place (evidence head only).
        region: Cross-entropy of each coarse box's strongest evidence (evidence head only).
        focus: Exponent of the focal loss.
        survey: (x0, y0, x1, y1) as fractions of the film: where a film surveyed only over the thorax is
            sure to show no object that is not boxed.
        unsurveyed: Weight of such a film's places outside ``survey``. An object that was not boxed there
            lies outside the thorax and is no evidence either, but where the thorax ends is not so clear.
    """

    image: float = Field(default=1.0, ge=0)
    dense: float = Field(default=1.0, ge=0)
    region: float = Field(default=0.5, ge=0)
    focus: float = Field(default=2.0, ge=0)
    survey: tuple[float, float, float, float] = (0.2, 0.15, 0.8, 0.8)
    unsurveyed: float = Field(default=0.3, ge=0, le=1)


class Phase(_Section):
    """A stretch of training with one resolution and one learning rate.

    Attributes:
        epochs: How many.
        size: (rows, columns) of the input.
        learning_rate: At its peak, for the head.
        backbone_factor: The backbone's learning rate over the head's.
        frozen: Names of submodules that stay as they are, batch norm statistics included.
        loss: Other weights than the recipe's.
    """

    epochs: int = Field(ge=1)
    size: tuple[int, int] = (512, 512)
    learning_rate: float = Field(default=1e-3, gt=0)
    backbone_factor: float = Field(default=0.3, gt=0)
    frozen: tuple[str, ...] = ()
    loss: Loss | None = None


class CardText(_Section):
    """The words of the model card that no run can measure."""

    intended_use: str
    limits: str
    not_for: str
    training_data: str
    licence: str


class Recipe(_Section):
    """One training, from nothing to a bundle.

    Attributes:
        name: Of the bundle.
        classes: Names of the classes.
        poor_class: Index of the poor-quality class.
        average: How many of the last phases' best weights are averaged in the end (``wortsman2022soups``).
        sensitivity: Wanted on the validation split; the threshold follows from it.
        review_band: Half-width, in log-odds, of the band around the threshold that a person looks at.
        method: Saliency method that an assessment uses unless told otherwise.
        layers: Modules that a last-layer and a multi-layer map read; None: found by themselves.
        guard_layers: Modules whose pooled outputs the guard looks at; empty: no guard.
        guard_caught: Share of the films it is made for that the guard may catch.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int = 0
    classes: tuple[str, ...] = ("clean", "foreign")
    poor_class: int = 1
    batch_size: int = Field(default=8, ge=1)
    workers: int = Field(default=0, ge=0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    weight_decay: float = Field(default=0.02, ge=0)
    average: int = Field(default=1, ge=1)
    sensitivity: float = Field(default=0.95, gt=0, le=1)
    review_band: float = Field(default=0.5, ge=0)
    method: str = "normgrad_conv1x1"
    layers: Layers | None = None
    guard_layers: tuple[str, ...] = ()
    guard_caught: float = Field(default=0.015, gt=0, lt=1)
    data: Data = Data()
    architecture: Architecture = Architecture()
    preprocessing: Preprocessing = Preprocessing()
    augmentation: Augmentation = Augmentation()
    loss: Loss = Loss()
    phases: tuple[Phase, ...] = Field(min_length=1)
    card: CardText

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        """The entries that speak of one another agree."""
        if len(self.classes) != self.architecture.classes or self.poor_class not in range(len(self.classes)):
            raise ValueError("classes, poor_class and architecture.classes do not agree")
        if self.architecture.head == "evidence" and self.poor_class != 1:
            raise ValueError("the evidence head has class 1 as the poor one")
        return self

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read and check a recipe.

        Raises:
            ConfigError: The file is absent, is not TOML, or has a wrong value; names the entry.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise ConfigError(f"cannot read the recipe {path}", got=str(error)) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML", got=str(error)) from error
        except ValidationError as error:
            first = error.errors()[0]
            entry = ".".join(map(str, first["loc"]))
            raise ConfigError(f"{path}: {entry}: {first['msg']}", got=repr(first["input"])) from error
