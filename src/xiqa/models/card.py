"""The model card: what a bundle is, how it was made, what it scores and what it must not be used for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from xiqa.config import Section
from xiqa.models.architecture import Architecture
from xiqa.models.card_formats import upgraded_card
from xiqa.models.outputs import Outputs, disagreement, output_count, poor_classes, problem_names
from xiqa.models.preprocess import Preprocessing
from xiqa.models.sealed import SealedCard
from xiqa.models.views.check import ViewCheck

__all__ = [
    "BundleCard",
    "Estimate",
    "Evaluation",
    "GuardReport",
    "Layers",
    "Localisation",
    "Reference",
    "Reliability",
    "SiteCalibration",
    "Training",
]

Probability = Annotated[float, Field(ge=0, le=1)]
Slope = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Offset = Annotated[float, Field(allow_inf_nan=False)]


class Estimate(Section):
    """A measured value with its 95 % interval, where one was made."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """Three digits, and the interval in brackets."""
        interval = (
            f" [{self.low:.3f}, {self.high:.3f}]" if self.low is not None and self.high is not None else ""
        )
        return f"{self.value:.3f}{interval}"


class Reliability(Section):
    """One bin of the reliability diagram."""

    low: Probability
    high: Probability
    images: int = Field(ge=0)
    predicted: Probability
    observed: Probability


class Localisation(Section):
    """Where a detector's peak falls on the poor images, as fractions of hits.

    Attributes:
        method: The detector.
        groups: The share of images on whose objects of a group the peak lies, by group; None where no image
            has such an object.
        recall: The share of an image's problems that get a peak of their own.
        froc: Mean sensitivity of the peaks as verdicts on places.
    """

    method: str
    groups: dict[str, Estimate | None] = Field(default_factory=dict)
    recall: Estimate | None = None
    froc: Estimate | None = None


class Evaluation(Section):
    """Scores on one set of images.

    Attributes:
        name: Which set it is (``validation``, ``test``, ``simulated``).
        tolerance: Pixels of the original around a box that still count as a hit.
    """

    name: str
    images: int
    poor: int
    patients: int
    auc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    calibration_error: Estimate
    reliability: tuple[Reliability, ...] = ()
    tolerance: float | None = None
    localisation: tuple[Localisation, ...] = ()
    guard_caught: Estimate | None = None


class GuardReport(Section):
    """How many images of a kind that the network was not made for are caught.

    Attributes:
        named: How many the view check calls by their name, where it has one for them.
    """

    kind: str
    images: int
    caught: Probability
    named: Probability | None = None


class Layers(Section):
    """Modules that saliency methods read: one for a last-layer map, several for a multi-layer one."""

    last: str
    multi: tuple[str, ...]


class Reference(Section):
    """Scores of images that nothing was fitted on, one a patient: what a site's are compared with.

    Attributes:
        name: Which images.
        good: Calibrated probabilities of the good ones, in order.
        poor: Those of the poor ones.
        good_distances: The guard's distances of the good ones, in order; empty without a guard.
        poor_distances: Those of the poor ones.
    """

    name: str
    good: tuple[Probability, ...] = Field(min_length=1)
    poor: tuple[Probability, ...] = Field(min_length=1)
    good_distances: tuple[Offset, ...] = ()
    poor_distances: tuple[Offset, ...] = ()


class SiteCalibration(Section):
    """How a bundle was derived from another by a site's images.

    Attributes:
        site: The site's name.
        parent: Hash of the bundle that it was derived from.
        images: The site's images.
        poor: How many of them are poor.
        patients: Whom they show.
        slope: The parent's log-odds were multiplied by it,
        shift: and this added.
        sensitivity: Share of the patients with poor images that the threshold finds, with 95 % confidence.
        guard_limit: The parent's limit of the guard; None without a guard.
    """

    site: str
    parent: str
    images: int = Field(ge=1)
    poor: int = Field(ge=1)
    patients: int = Field(ge=1)
    slope: Slope
    shift: Offset
    sensitivity: Probability
    guard_limit: float | None = None


class Training(Section):
    """How a network was trained, beyond its recipe.

    Attributes:
        processes: How many shared every batch.
        batch_size: Images a step, of all processes together.
        batch_norm: Whose statistics the network learned with. ``none``: it has no batch norm; ``frozen``: it
            kept those it began with; ``batch``: whole batches'; ``part``: each process's part of a batch, of
            which the first one's were kept.
    """

    processes: int = Field(default=1, ge=1)
    batch_size: int = Field(ge=1)
    batch_norm: Literal["none", "frozen", "batch", "part"]


class BundleCard(SealedCard):
    """Everything in a bundle but the weights; ``model.json``.

    Attributes:
        format: Version of this layout; 1 has no view check.
        temperature: The logits are divided by it.
        beta: (a, b, c) of the map from the poor class's probability to the calibrated one; see
            `xiqa.models.calibration.probability_of`.
        threshold: Calibrated probability of the poor class from which an image is poor.
        outputs: What the network's outputs mean; by default, that of one poor class among several.
        review_band: Calibrated probabilities between which a person looks at the image.
        method: Saliency method that an assessment uses unless told otherwise.
        guard_layers: Modules whose pooled outputs the guard looks at; empty: no guard.
        view: The view check; None where the bundle has none.
        recipe: The resolved training recipe.
        versions: Packages that the training ran on.
        training: How many processes trained, and what batch norm learned from; None where nothing was told.
        reference: What a site's scores are compared with; None where nothing was kept.
        calibrated_at: The site that this bundle was calibrated at; None for one that came out of a training.
    """

    format: Literal[2] = 2
    name: str
    created: str
    architecture: Architecture
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    poor_class: int = Field(ge=0)
    outputs: Outputs = Outputs()
    temperature: float = Field(gt=0, allow_inf_nan=False)
    beta: tuple[Slope, Slope, Offset] = (1.0, 1.0, 0.0)
    threshold: Probability
    review_band: tuple[Probability, Probability]
    layers: Layers
    method: str
    guard_layers: tuple[str, ...] = ()
    view: ViewCheck | None = None
    intended_use: str
    limits: str
    not_for: str
    training_data: str
    licence: str
    recipe: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    training: Training | None = None
    evaluations: tuple[Evaluation, ...] = ()
    guard_reports: tuple[GuardReport, ...] = ()
    reference: Reference | None = None
    calibrated_at: SiteCalibration | None = None

    @model_validator(mode="after")
    def _agree(self) -> BundleCard:
        """The entries that speak of one another agree."""
        count, task = self.architecture.classes, self.outputs.task
        one_logit = (task, len(self.classes), count) == ("classes", 2, 1)
        if count != output_count(self) and not one_logit:
            raise ValueError(f"{len(self.classes)} class names for {count} outputs")
        if problem := disagreement(self):
            raise ValueError(problem)
        if self.architecture.head == "evidence" and self.poor_class != 1:
            raise ValueError("the evidence head has class 1 as the poor one")
        if not self.review_band[0] <= self.threshold <= self.review_band[1]:
            raise ValueError("the threshold lies outside the review band")
        if self.view is not None and any(side % self.view.side for side in self.preprocessing.size):
            raise ValueError("the view check's thumbnail does not divide the input")
        if len(self.preprocessing.mean) != len(self.preprocessing.std):
            raise ValueError("mean and std differ in length")
        return self

    @property
    def poor_classes(self) -> tuple[int, ...]:
        """Indices of all poor classes, labels or grades."""
        return poor_classes(self)

    @property
    def problems(self) -> tuple[str, ...]:
        """What a verdict can name as the problem."""
        return problem_names(self)

    @property
    def hash(self) -> str:
        """Short name of exactly this model: the start of the card's hash, which covers the weights'."""
        return (self.formerly or self.card_sha256)[:16]

    @classmethod
    def upgraded(cls, content: dict[str, Any]) -> dict[str, Any]:
        """A card of format 1 in this one; see `xiqa.models.card_formats`."""
        return upgraded_card(content) if content.get("format") == 1 else content
