"""A training recipe: everything that decides a model, read from one TOML file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from xiqa.config import RecipeFile, Section
from xiqa.datasets.detect import AUTO
from xiqa.datasets.layout import layout_names
from xiqa.models.architecture import Architecture
from xiqa.models.card import Layers
from xiqa.models.outputs import Outputs, disagreement, output_count, problem_names
from xiqa.models.preprocess import Preprocessing

__all__ = [
    "SIMULATED",
    "Augmentation",
    "CardText",
    "Data",
    "Loss",
    "Optimiser",
    "Phase",
    "Recipe",
]


SIMULATED = ("simulated_chest", "simulated_cardiac", "corrupted")
"""Layouts that need no data; ``corrupted`` takes good images of a data set where one is given."""


def _known(name: str) -> str:
    names = (AUTO, *layout_names(), *SIMULATED)
    if name not in names:
        raise ValueError(f"no layout is named so; there are {', '.join(names)}")
    return name


Layout = Annotated[str, AfterValidator(_known)]


class Data(Section):
    """Which images to learn from.

    Attributes:
        layout: How the data set lies on the disk (``xiqa data layouts``); ``auto``: recognised by its files;
            ``simulated_chest``, ``simulated_cardiac``: made on the spot, every patient without and with
            what is looked for; ``corrupted``: good images with a global problem put into them (see
            `xiqa.training.corrupted`).
        balance: Of classes of unequal size: ``downsample`` drops training images of the larger ones,
            ``weights`` weighs the loss, ``sampler`` draws every class equally often.
        images: How many images a simulated layout makes; every fourth validates.
        least_degree: Smallest degree of the problems that ``corrupted`` puts in.
        keep: Where images lie while training: in ``memory``, read once, or on the ``disk``, read in every
            epoch (for data sets that do not fit into memory).
        simulated: How many simulated images to train on as well (two classes only).
        inserted: How many copies of clean training images to train on, with simulated objects put into them.
        implanted: How many copies of clean training images to train on, with simulated implants and with
            objects beside the chest, which are no reason to repeat an image.
    """

    layout: Layout = "foreign_objects"
    balance: Literal["none", "downsample", "weights", "sampler"] = "none"
    images: int = Field(default=240, ge=8)
    least_degree: float = Field(default=0.1, gt=0, lt=1)
    keep: Literal["memory", "disk"] = "memory"
    simulated: int = Field(default=0, ge=0)
    inserted: int = Field(default=0, ge=0)
    implanted: int = Field(default=0, ge=0)


class Augmentation(Section):
    """Random changes that a radiograph may show by itself; ``augmentation = false`` for none.

    Attributes:
        rotate: Largest rotation in degrees.
        scale: Largest relative change of size.
        translate: Largest shift, as a fraction of the side.
        shear: Largest shear in degrees.
        flip: Probability of a left-right mirror image.
        flip_vertical: Probability of an upside-down mirror image.
        contrast: Largest relative change of contrast and of gamma.
        brightness: Largest shift of the grey values.
        noise: Largest standard deviation of added noise.
        scanner: How often, from 0 to 1, a step between the detector and the archive is another scanner's; see
            `xiqa.training.scanner`.
        inscribed: Probability of words, labels, arrows or boxes drawn on the picture; see
            `xiqa.training.inscriptions`.
    """

    rotate: float = Field(default=6.0, ge=0)
    scale: float = Field(default=0.12, ge=0, lt=1)
    translate: float = Field(default=0.05, ge=0, lt=1)
    shear: float = Field(default=0.0, ge=0, lt=45)
    flip: float = Field(default=0.0, ge=0, le=1)
    flip_vertical: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.25, ge=0, lt=1)
    brightness: float = Field(default=0.08, ge=0, lt=1)
    noise: float = Field(default=0.02, ge=0)
    scanner: float = Field(default=0.0, ge=0, le=1)
    inscribed: float = Field(default=0.0, ge=0, le=1)


class Optimiser(Section):
    """How weights follow from gradients.

    Attributes:
        name: ``adamw``; ``adam``, whose weight decay is part of the gradient; ``sgd``.
        momentum: Of SGD.
        weight_decay: Pull towards zero.
        schedule: Of the learning rate within a phase. ``one_cycle``: up to its peak and down again;
            ``step``: times ``factor`` after every ``every`` epochs; ``constant``.
        every: Epochs between two steps.
        factor: What a step multiplies the learning rate by.
        clip: Largest norm of the gradient; 0: as it comes.
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.02, ge=0)
    schedule: Literal["one_cycle", "step", "constant"] = "one_cycle"
    every: int = Field(default=5, ge=1)
    factor: float = Field(default=0.1, gt=0, le=1)
    clip: float = Field(default=5.0, ge=0)


class Loss(Section):
    """Weights of the parts of the loss; see `xiqa.training.losses`.

    Attributes:
        image: Cross-entropy of the image's class.
        dense: Focal cross-entropy of the evidence at every place (evidence head only).
        region: Cross-entropy of each coarse box's strongest evidence (evidence head only).
        focus: Exponent of the focal loss.
        survey: (x0, y0, x1, y1) as fractions of the image: where an image surveyed only over the thorax is
            sure to show no object that is not boxed.
        unsurveyed: Weight of such an image's places outside ``survey``. An object that was not boxed there
            lies outside the thorax and is no evidence either, but where the thorax ends is not so clear.
    """

    image: float = Field(default=1.0, ge=0)
    dense: float = Field(default=1.0, ge=0)
    region: float = Field(default=0.5, ge=0)
    focus: float = Field(default=2.0, ge=0)
    survey: tuple[float, float, float, float] = (0.2, 0.15, 0.8, 0.8)
    unsurveyed: float = Field(default=0.3, ge=0, le=1)


class Phase(Section):
    """A stretch of training with one resolution and one learning rate.

    Attributes:
        epochs: How many.
        size: (rows, columns) of the input; None: those of the preprocessing.
        learning_rate: At its peak, for the head.
        backbone_factor: The learning rate of the network's ``body`` over the head's (evidence and mlp head).
        frozen: Names of submodules that stay as they are, batch norm statistics included. Where an mlp
            head's whole ``body`` is frozen and nothing is augmented, its features are computed once.
        loss: Other weights than the recipe's.
    """

    epochs: int = Field(ge=1)
    size: tuple[int, int] | None = None
    learning_rate: float = Field(default=1e-3, gt=0)
    backbone_factor: float = Field(default=0.3, gt=0)
    frozen: tuple[str, ...] = ()
    loss: Loss | None = None


class Views(Section):
    """How the view check is trained; see `xiqa.training.views`.

    Attributes:
        pictures: How many pictures of all views are drawn.
        epochs: How often each is seen.
        limit: Probability of the frontal view below which a person looks.
    """

    pictures: int = Field(default=12_000, ge=256)
    epochs: int = Field(default=12, ge=1)
    limit: float = Field(default=0.5, ge=0, le=1)


class CardText(Section):
    """The words of the model card that no run can measure."""

    intended_use: str
    limits: str
    not_for: str
    training_data: str
    licence: str


class Recipe(RecipeFile):
    """One training, from nothing to a bundle.

    A recipe may end in a table ``[quick]``: the same training in small, on simulated images. Its entries
    replace the recipe's, table by table, when the recipe is read with ``quick=True``.

    Attributes:
        name: Of the bundle.
        classes: Names of the classes, those of the data set in any order.
        poor_class: Index of the poor-quality class.
        outputs: What the network's outputs mean, where that is not one poor class among several; see
            `xiqa.models.outputs`.
        pretrained: Start from ImageNet weights: of an installed package, or else of the library's hub.
        start: Start from the weights of this bundle instead, shipped or a folder; empty: from no bundle's.
        he_head: Draw the last linear layer by He's rule (``he2015delving``).
        best_by: Which epoch of a phase is kept. ``score``: the best AUC (and place, for the evidence head);
            ``accuracy``; ``recall:CLASS``; ``loss``. Of equal epochs the first.
        workers: Threads that prepare batches while the network computes; 0: each batch when it is asked for.
        average: How many of the last phases' best weights are averaged in the end (``wortsman2022soups``).
        sensitivity: Wanted on the validation split; the threshold follows from it.
        review_band: Half-width, in log-odds, of the band around the threshold that a person looks at.
        method: Saliency method that an assessment uses unless told otherwise.
        layers: Modules that a last-layer and a multi-layer map read; None: found by themselves.
        guard_layers: Modules whose pooled outputs the guard looks at; empty: no guard.
        guard_caught: Share of the images it is made for that the guard may catch.
        views: The check that an image is an upright frontal chest radiograph; None: no check.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int = 0
    classes: tuple[str, ...] = ("clean", "foreign")
    poor_class: int = 1
    outputs: Outputs = Outputs()
    pretrained: bool = True
    start: str = ""
    he_head: bool = False
    best_by: str = Field(default="score", pattern=r"^(score|accuracy|loss|recall:.+)$")
    batch_size: int = Field(default=8, ge=1)
    workers: int = Field(default=1, ge=0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    average: int = Field(default=1, ge=1)
    sensitivity: float = Field(default=0.95, gt=0, le=1)
    review_band: float = Field(default=0.5, ge=0)
    method: str = "normgrad_conv1x1"
    layers: Layers | None = None
    guard_layers: tuple[str, ...] = ()
    guard_caught: float = Field(default=0.015, gt=0, lt=1)
    views: Views | None = None
    data: Data = Data()
    architecture: Architecture = Architecture()
    preprocessing: Preprocessing = Preprocessing()
    augmentation: Augmentation | Literal[False] = Augmentation()
    optimiser: Optimiser = Optimiser()
    loss: Loss = Loss()
    phases: tuple[Phase, ...] = Field(min_length=1)
    card: CardText

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        """The entries that speak of one another agree."""
        if problem := disagreement(self):
            raise ValueError(problem)
        architecture, grades = self.architecture, len(self.classes) if self.outputs.task == "ordered" else 0
        if self.data.balance == "weights" and self.outputs.task != "classes":
            raise ValueError(f"data.balance = weights is not for the task {self.outputs.task}: take sampler")
        wanted = output_count(self)
        if (architecture.classes, architecture.grades) != (wanted, grades):
            heads = f" and architecture.grades = {grades}" if grades or architecture.grades else ""
            raise ValueError(f"these classes need architecture.classes = {wanted}{heads}")
        if architecture.head == "evidence" and (self.poor_class != 1 or self.outputs.task != "classes"):
            raise ValueError("the evidence head has class 1 as the poor one")
        if architecture.head == "mlp" and architecture.input_size != self.preprocessing.size:
            raise ValueError("the mlp head needs architecture.input_size = preprocessing.size")
        name = self.best_by.removeprefix("recall:")
        if name != self.best_by and name not in self.watched:
            raise ValueError(f"best_by names no class: {name}; there are {', '.join(self.watched)}")
        return self

    @property
    def watched(self) -> tuple[str, ...]:
        """What has a recall: the classes, or the problems where several can come together."""
        exclusive = self.outputs.task in ("classes", "labels") or (
            self.outputs.task == "ordered" and not self.outputs.problems
        )
        return self.classes if exclusive else problem_names(self)
