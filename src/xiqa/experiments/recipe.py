"""An experiment as one TOML file: which images, networks, methods and measures, and what to show of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from xiqa.config import RecipeFile, Section
from xiqa.datasets.groups import PROBLEM
from xiqa.models.regions.region import known_region
from xiqa.simulation.seeds import EXPERIMENTS

__all__ = [
    "KEYS",
    "Alteration",
    "Experiment",
    "FigureSpec",
    "Gallery",
    "Images",
    "Measure",
    "Network",
    "TableSpec",
]

RegionName = Annotated[str, AfterValidator(lambda name: name and known_region(name))]
State = Literal["trained", "imagenet", "semi", "full"]
Key = Literal[
    "model", "state", "seed", "profile", "method", "layer", "smoothing", "alteration", "group", "class",
    "outcome", "count", "size", "place", "metric",
]  # fmt: skip
KEYS: tuple[Key, ...] = (
    "model", "state", "seed", "profile", "method", "layer", "smoothing", "alteration", "group", "class",
    "outcome", "count", "size", "place", "metric",
)  # fmt: skip
"""Columns of the rows by which tables may be laid out; count, size, place: parts of a scenario's name.

``class`` is the one that a row of a verdict between more than two classes is about; such rows are shown by
the tables that name it, and by no other.
"""


VERDICT_MEASURES = frozenset(
    {"AUC", "accuracy", "sensitivity", "specificity", "probability", "precision", "recall", "F1", "called"}
)
"""What ``verdicts = true`` measures; no other measure may have such a name."""


class Images(Section):
    """Which images to measure on.

    Attributes:
        source: ``folder``: a data set of any known layout (``xiqa data check`` knows it); ``scenarios``:
            simulated images of every scenario; ``random``: simulated images as a ward sends them.
        path: The folder; ``--data`` names another.
        split: Which split of the folder.
        only: ``poor`` or ``good`` images alone.
        limit: At most so many images, drawn by the experiment's seed; None: all.
        count: Simulated images a scenario, or in all where they are random.
        first: Seed of the first simulated image, by default the first of the ledger's `EXPERIMENTS`; the same
            seed shows the same patient in every scenario.
        size: (rows, columns) of simulated images.
        boxes: Table of boxes in ChestX-ray14's format (``BBox_List_2017.csv``), by its place in the folder;
            those of an image's own class become its objects.
    """

    source: Literal["folder", "scenarios", "random"] = "folder"
    path: str = ""
    split: Literal["train", "val", "test", "all"] = "val"
    only: Literal["all", "poor", "good"] = "all"
    limit: int | None = Field(default=None, ge=1)
    count: int = Field(default=4, ge=1)
    first: int = Field(default=EXPERIMENTS.first, ge=0)
    size: tuple[int, int] = (640, 640)
    boxes: str = ""


class Network(Section):
    """A network, in one or several states.

    Attributes:
        name: What it is called in tables.
        bundles: Names or folders of bundles, one a repeated training; ``--model NAME=FOLDER`` names others.
        states: ``trained``; ``imagenet``: what training starts from, the head random; ``semi``: the trained
            backbone under a random head; ``full``: the same architecture with random weights everywhere.
            Batch norm of a random network is fitted to simulated images, or its outputs would vanish.
        seeds: Of the random weights.
        methods: Further methods, of the trained network alone: those that were trained with it or for it.
    """

    name: str
    bundles: tuple[str, ...] = ("cxr-foreign-objects",)
    states: tuple[State, ...] = Field(default=("trained",), min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    methods: tuple[str, ...] = ()


class Alteration(Section):
    """A change of the images before they are explained again; one of the three.

    Attributes:
        name: What it is called in tables.
        corruption: One of `xiqa.simulation.corrupt.CORRUPTIONS` that keeps places where they are.
        degree: Of the corruption, 0 to 1.
        attack: ``fgsm``, ``pgd`` or ``deepfool``, away from the explained class.
        epsilon: Of ``fgsm`` and ``pgd``, in units of the network's input.
        region: A region of interest, such as ``lungs``: everything beside it becomes the image's mean.
        keep: ``inside`` keeps the region; ``outside`` keeps everything beside it, and the region is lost.
    """

    name: str
    corruption: Literal["", "motion_blur", "underexposure", "overexposure", "noise", "low_contrast"] = ""
    degree: float = Field(default=0.5, ge=0, le=1)
    attack: Literal["", "fgsm", "pgd", "deepfool"] = ""
    epsilon: float = Field(default=0.02, gt=0)
    region: RegionName = ""
    keep: Literal["inside", "outside"] = "inside"

    @model_validator(mode="after")
    def _one(self) -> Alteration:
        if sum(map(bool, (self.corruption, self.attack, self.region))) != 1:
            raise ValueError("name one of corruption, attack and region")
        return self


class Measure(Section):
    """A metric of the register with its parameters.

    Attributes:
        metric: Its name (``xiqa metrics``).
        label: What it is called in tables; by default the name.
        objects: What counts as truth: the objects of a group, by default those that make an image poor.
        region: A region of interest, such as ``lungs``, that counts as truth instead.
        params: Parameters of the metric that differ from its defaults.
        curve: Keep the whole curve of a perturbation metric beside its value.
        limit: Only on so many of the images, drawn by the experiment's seed; None: all.
        correct_only: Only on images that the trained network judges rightly. What a random network gets right
            is luck: it is measured on every image.
    """

    metric: str
    label: str = ""
    objects: str = PROBLEM
    region: RegionName = ""
    params: dict[str, Any] = Field(default_factory=dict)
    curve: bool = False
    limit: int | None = Field(default=None, ge=1)
    correct_only: bool = False

    @property
    def name(self) -> str:
        """The label, or else the metric's name."""
        return self.label or self.metric


class TableSpec(Section):
    """A table of the rows.

    Attributes:
        name: File name of the table.
        title: What it shows.
        rows: Keys that make a row.
        columns: Keys that make a column.
        metrics: Labels of the measures shown; empty: all.
        where: Only rows with one of these values, by key.
        reference: Values by key: every cell is compared with the one that has these values instead of
            its own, on the same images, and the p-values of a measure are Holm-corrected together.
        consistency: Key over whose values the difference of means is told in a column of its own.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    rows: tuple[Key, ...] = ("state", "method")
    columns: tuple[Key, ...] = ("metric",)
    metrics: tuple[str, ...] = ()
    where: dict[Key, tuple[str, ...]] = Field(default_factory=dict)
    reference: dict[Key, str] = Field(default_factory=dict)
    consistency: Key | None = None

    @model_validator(mode="after")
    def _apart(self) -> TableSpec:
        if set(self.rows) & set(self.columns):
            raise ValueError("a key is either a row or a column")
        return self


class FigureSpec(Section):
    """A figure of the rows.

    Attributes:
        name: File name of the figure.
        title: What it shows.
        kind: ``intervals``: every row of ``table`` as a point with its interval; ``curves``: a perturbation
            curve a method; ``scatter``: one measure against another, a point a method; ``history``: recall of
            every class by epoch, as the training of each trained network left it beside the bundle.
        table: Name of the table, for ``intervals``.
        x: Label of the measure across, for ``scatter``.
        y: Label of the measure up, for ``curves`` and ``scatter``.
        lines: Keys that make a line of ``curves`` or a point of ``scatter``.
        panels: Keys that make a panel of ``curves``.
        where: Only rows with one of these values, by key.
        log: Whether the axis across is logarithmic.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    kind: Literal["intervals", "curves", "scatter", "history"]
    table: str = ""
    x: str = ""
    y: str = ""
    lines: tuple[Key, ...] = ("state", "method")
    panels: tuple[Key, ...] = ("model",)
    where: dict[Key, tuple[str, ...]] = Field(default_factory=dict)
    log: bool = False


class Gallery(Section):
    """Pictures of maps on simulated images: a row an image, a column a network's state, method and smoothing.

    Attributes:
        name: File name of the picture.
        title: What it shows.
        choose: Which images of the experiment: the first, or the first that the trained network rightly calls
            poor, gets wrong, calls poor without cause, or misses.
        count: How many images.
        methods: Methods shown; empty: the experiment's.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    choose: Literal["first", "found", "wrong", "false-alarm", "missed"] = "first"
    count: int = Field(default=4, ge=1)
    methods: tuple[str, ...] = ()


class Experiment(RecipeFile):
    """One experiment.

    Attributes:
        name: Of the experiment and its folder.
        title: What it asks.
        source: Key in ``docs/references.bib`` of the paper it follows.
        seed: Of every draw: the choice of images, the random map, the resamples.
        chunk: Images that are measured together; after each chunk the rows are written.
        target: The explained class: the poor one, the true one, or the predicted one.
        profiles: ``paper`` and ``reference``; the latter always explains the predicted class.
        controls: Whether centre point, random map and edge detector stand beside the methods.
        verdicts: Whether the networks' verdicts are measured too (``AUC``, ``accuracy``, ``sensitivity``,
            ``specificity``, ``probability``; of each ``class`` of more than two ``recall``, ``precision``,
            ``F1`` and ``AUC``, and ``called``, the share of images called so).
        smoothing: Widths of the Gaussian in pixels of the network's input; 0 leaves the map as it is.
        resamples: Bootstrap resamples behind each interval.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    source: str = ""
    seed: int = 0
    chunk: int = Field(default=8, ge=1)
    target: Literal["poor", "true", "predicted"] = "poor"
    profiles: tuple[Literal["paper", "reference"], ...] = Field(default=("paper",), min_length=1)
    controls: bool = True
    verdicts: bool = False
    smoothing: tuple[float, ...] = Field(default=(0.0,), min_length=1)
    resamples: int = Field(default=10_000, ge=100)
    data: Images = Images()
    models: tuple[Network, ...] = Field(min_length=1)
    methods: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    alterations: tuple[Alteration, ...] = ()
    tables: tuple[TableSpec, ...] = ()
    figures: tuple[FigureSpec, ...] = ()
    galleries: tuple[Gallery, ...] = ()

    @model_validator(mode="after")
    def _agree(self) -> Experiment:
        """Names are unique, and a figure's table exists."""
        named: dict[str, list[str]] = {
            "models": [item.name for item in self.models],
            "measures": [item.name for item in self.measures],
            "alterations": [item.name for item in self.alterations],
            "tables": [item.name for item in self.tables],
            "figures": [item.name for item in self.figures] + [item.name for item in self.galleries],
        }
        for what, names in named.items():
            if len(set(names)) != len(names):
                raise ValueError(f"{what}: two have one name")
        for measure in self.measures:
            if measure.name in VERDICT_MEASURES:
                raise ValueError(f"measures: {measure.name} is a measure of verdicts: give it another label")
        for figure in self.figures:
            if figure.kind == "intervals" and figure.table not in {item.name for item in self.tables}:
                raise ValueError(f"figures: {figure.name} shows a table that is not there")
        if not self.measures and not self.verdicts and not self.galleries:
            raise ValueError("nothing to measure or to show")
        return self
