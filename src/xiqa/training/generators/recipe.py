"""What a training of generators does, as its TOML recipe tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from xiqa.config import RecipeFile, Section
from xiqa.models.explainers.generator_bundle import Networks
from xiqa.training.recipe import Augmentation, Recipe

if TYPE_CHECKING:
    from xiqa.models.preprocess import Preprocessing

__all__ = ["Aim", "GeneratorLoss", "GeneratorRecipe"]

Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class GeneratorLoss(Section):
    r"""Weights of the loss's parts; grey values lie in [0, 1].

    Attributes:
        beyond: :math:`b`, log-odds beyond the limit to which a verdict shall turn: about as far as images
            that get this verdict lie.
        similar: :math:`\lambda_s`, of the similar image's distance from the image.
        adversarial: :math:`\lambda_a`, of the adversarial image's.
        pair: :math:`\lambda_p`, of their distance from each other.
        variation: :math:`\lambda_v`, of the total variation of what they differ in: a change of few, whole
            places instead of a pattern of single pixels, which turns many a verdict unseen.
        untouched: :math:`u`, how many times as dear all changes are on images whose verdict need not turn.
        area: :math:`\lambda_m`, of the share of the image over which the adversarial image is painted.
        edges: :math:`\lambda_e`, of edges in what is painted, so that it fills a place in smoothly.
    """

    beyond: float = Field(default=0.0, ge=0)
    similar: float = Field(default=10.0, ge=0)
    adversarial: float = Field(default=10.0, ge=0)
    pair: float = Field(default=10.0, ge=0)
    variation: float = Field(default=1.0, ge=0)
    untouched: float = Field(default=1.0, gt=0)
    area: float = Field(default=0.0, ge=0)
    edges: float = Field(default=0.0, ge=0)


class Aim(Section):
    """What share of verdicts shall turn; the weights of distances follow, see `Balance`.

    Attributes:
        share: The share.
        pace: How fast they follow: the logarithm's change a step, where none of the verdicts turns or all.
        start: Their factor at first.
        least: The factor never falls below this.
        most: Nor does it rise above this.
    """

    share: float = Field(default=0.9, gt=0, lt=1)
    pace: float = Field(default=0.03, gt=0)
    start: float = Field(default=0.05, gt=0)
    least: float = Field(default=0.02, gt=0)
    most: float = Field(default=100.0, gt=0)


class GeneratorRecipe(RecipeFile):
    """One training of generators for one classifier.

    Attributes:
        kind: What the recipe trains.
        name: Of the bundle.
        seed: Of weights, order, augmentation and noise.
        size: (rows, columns) of the images that are generated; None: the classifier's own input.
        crop: (rows, columns) of the part that a step sees, at a random place, and the classifier with it;
            None: the whole. A classifier of local evidence judges a part as it judges the whole, and at its
            own resolution a step costs less.
        focus: How often a part lies around an annotated object, on images that have one; the rest lies
            anywhere.
        explained: The class whose verdict is turned; None: the poor-quality class.
        networks: How the generators are built.
        warmup: Epochs in which one generator, without the classifier, learns to give back images over which
            random shapes were laid, before it becomes the start of both; see `lay_shapes`.
        inserted: How many clean training images get simulated objects put into them, to be taken away in the
            warm-up instead of random shapes; 0: none.
        letters: Whether side markers lie near the inserted objects, and stay. They are as bright as metal,
            but lie in corners, where a part around an object seldom reaches.
        epochs: After that.
        batch_size: Images a step.
        learning_rate: Of AdamW, at the peak of a one-cycle schedule.
        warmup_rate: The same in the warm-up; None: no other.
        turn: Which verdicts the adversarial image has to turn: ``both``, as published, or those called
            ``poor``: then it takes objects away, and on other images it only has to stay close.
        aim: The share of them that shall turn, by which the weights of distances find themselves; None: the
            weights are what ``loss`` says.
        jitter: The classifier sees generated images shifted by up to this many pixels, so that a pattern
            that works at one place only turns no verdict.
        zoom: And enlarged by up to this share.
        blur: And blurred by a Gaussian of up to this many pixels.
        noise: Standard deviation of the noise that it sees on them, grey values.
        simulated: How many simulated radiographs to add, each fourth for validation.
        augmentation: Their random changes; the source finds the geometric ones a useful regularisation.
        loss: The weights.
        pictures: How many validation images are shown with what became of them in ``pictures.png``.
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
    inserted: int = Field(default=0, ge=0)
    letters: bool = False
    epochs: int = Field(default=4, ge=1)
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    warmup_rate: float | None = Field(default=None, gt=0)
    turn: Literal["both", "poor"] = "both"
    aim: Aim | None = None
    jitter: int = Field(default=2, ge=0)
    zoom: float = Field(default=0.0, ge=0, le=1)
    blur: float = Field(default=0.0, ge=0, le=4)
    noise: float = Field(default=0.02, ge=0)
    simulated: int = Field(default=0, ge=0)
    augmentation: Augmentation | Literal[False] = Augmentation()
    loss: GeneratorLoss = GeneratorLoss()
    pictures: int = Field(default=6, ge=0)

    def image_recipe(self, preprocessing: Preprocessing) -> Recipe:
        """The recipe by which images are read, changed and served: grey, in [0, 1], one channel."""
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
