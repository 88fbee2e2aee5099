"""The images of an experiment: real ones from a folder, or simulated ones whose truth is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from xiqa.datasets import Sample
from xiqa.datasets.detect import read_dataset
from xiqa.datasets.groups import members
from xiqa.datasets.nih_chestxray14 import read_boxes
from xiqa.errors import ConfigError, DatasetError
from xiqa.experiments.recipe import Images, Measure
from xiqa.geometry import Frame
from xiqa.models.regions.region import box_around, find_region
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.chest.scenario import Scenario, scenario_grid
from xiqa.types import Annotation, Image, MaskArray

__all__ = ["Case", "Loaded", "choose_cases", "truth_of"]

BOX_SIDE = 1024  # of the frame that ChestX-ray14 tells its boxes in


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """An image in memory.

    Attributes:
        image: Its pixels.
        label: Index of its class; 1 is poor.
        annotations: The objects on it.
        region: The pixels of a region of interest, by its name: exact on simulated images, found by a network
            on real ones.
    """

    image: Image
    label: int
    annotations: tuple[Annotation, ...]
    region: Callable[[str], MaskArray]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """An image that is read when its turn comes.

    Attributes:
        key: Unique name.
        patient: Whom it shows.
        group: Class or scenario.
        load: Reads it.
    """

    key: str
    patient: str
    group: str
    load: Callable[[], Loaded]


def choose_cases(cases: Images, seed: int) -> list[Case]:
    """The images that a recipe names, in a fixed order.

    Args:
        cases: What the recipe says.
        seed: Of the choice, where there is a limit.

    Raises:
        ConfigError: No folder is named, or the choice is empty.
        DatasetError: The folder's own reader refuses it.
    """
    chosen_cases = _from_folder(cases) if cases.source == "folder" else _simulated(cases)
    if not chosen_cases:
        raise ConfigError("the recipe chooses no image", todo="look at data.split and data.only")
    if cases.limit is not None and cases.limit < len(chosen_cases):
        chosen = np.random.default_rng(seed).permutation(len(chosen_cases))[: cases.limit]
        chosen_cases = [chosen_cases[place] for place in np.sort(chosen)]
    return chosen_cases


def truth_of(case: Loaded, measure: Measure) -> list[Annotation]:
    """The annotations that a measure takes for the truth."""
    if not measure.region:
        return members(case.annotations, measure.objects)
    mask = case.region(measure.region)
    return [Annotation(box_around(mask), kind=measure.region, mask=mask)] if mask.any() else []


def _from_folder(cases: Images) -> list[Case]:
    if not cases.path:
        raise ConfigError("no images", expected="a folder", todo="name it: --data FOLDER")
    collection = read_dataset(Path(cases.path))
    wanted = {"all": None, "poor": 1, "good": 0}[cases.only]
    boxes = read_boxes(Path(cases.path) / cases.boxes) if cases.boxes else {}
    result = []
    for sample in collection.samples:
        if cases.split in ("all", sample.split) and wanted in (None, sample.label):
            group = collection.classes[sample.label]
            own = tuple(box for box in boxes.get(f"{sample.path.stem}.png", ()) if box.kind.lower() == group)
            load = partial(_read, sample, own)
            result.append(Case(sample.key, sample.patient or sample.key, group, load))
    return result


def _read(sample: Sample, boxes: tuple[Annotation, ...] = ()) -> Loaded:
    image = sample.read()
    frame = Frame.resize(original=(BOX_SIDE, BOX_SIDE), model=image.size)
    own = tuple(replace(box, box=frame.box_to_model(box.box)) for box in boxes)
    return Loaded(image, sample.label, sample.annotations + own, cache(lambda name: find_region(name, image)))


def _simulated(cases: Images) -> list[Case]:
    seeds = range(cases.first, cases.first + cases.count)
    if cases.source == "random":
        if cases.only != "all":
            raise ConfigError("random images come as they are", expected="data.only = 'all'")
        return [
            Case(f"random {seed}", str(seed), "random", partial(_simulate, cases, None, seed))
            for seed in seeds
        ]
    poor = {"all": None, "poor": True, "good": False}[cases.only]
    return [
        Case(f"{scenario.name} {seed}", str(seed), scenario.name, partial(_simulate, cases, scenario, seed))
        for scenario in scenario_grid()
        if poor in (None, scenario.count != "none" and scenario.place != "outside")
        for seed in seeds
    ]


def _simulate(cases: Images, scenario: Scenario | None, seed: int) -> Loaded:
    phantom = simulate_chest(seed, size=cases.size, objects=scenario)
    known = {"lungs": phantom.lung_mask}

    def region(name: str) -> MaskArray:
        mask = known.get(name)
        if mask is None:
            raise DatasetError(f"the simulated image {seed} has no {name}")
        return mask

    # a drawn marker is no object, and the mask of valid pixels is no part of the question
    return Loaded(replace(phantom.image, mask=None), phantom.label, phantom.annotations, region)
