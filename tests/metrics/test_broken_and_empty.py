"""Methods that give broken maps, references without content, objects without a pixel: as declared."""

import math

import numpy as np
import pytest
import torch
from tests.metrics.networks import picture, small_network
from tests.metrics.test_registry import call, same
from tests.metrics.truths import OBJECTS, SIZE, random_map

from xiqa.geometry import Box
from xiqa.metrics.registry import metrics
from xiqa.metrics.truth import object_mask, union_mask
from xiqa.saliency.probe import TorchProbe
from xiqa.types import Annotation

NETWORK = small_network(channels=1)
PROBE = TorchProbe(NETWORK)
IMAGE = picture(channels=1, size=SIZE)
MASK = union_mask(OBJECTS, SIZE)

BROKEN = [info for info in metrics() if info.kind in ("robustness", "randomisation")]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("info", BROKEN, ids=[info.name for info in BROKEN])
def test_a_method_that_gives_broken_maps_has_no_robustness(info, bad):
    def explain(images):
        found = images.abs().sum(dim=1)
        found[:, 5, 6] = bad
        return found

    given = {"network": NETWORK, "target": 1}
    required = {key: given[key] for key in given if key in info.params and info.kind == "robustness"}
    arguments = (explain, IMAGE) if info.kind == "robustness" else (NETWORK, explain, IMAGE)
    assert math.isnan(info.function(*arguments, **required))


def of_constant_maps(info):
    """What a metric says of a method that gives 0.3 everywhere."""

    def explain(images):
        return torch.full((len(images), *SIZE), 0.3)

    given = {"network": NETWORK, "target": 1}
    required = {key: given[key] for key in given if key in info.params and info.kind == "robustness"}
    arguments = (explain, IMAGE) if info.kind == "robustness" else (NETWORK, explain, IMAGE)
    return info.function(*arguments, **required)


CONSTANT = [info for info in BROKEN if isinstance(info.cases["constant"], float)]


@pytest.mark.parametrize("info", CONSTANT, ids=[info.name for info in CONSTANT])
def test_a_method_that_gives_constant_maps_is_answered_as_declared(info):
    assert same(of_constant_maps(info), info.cases["constant"])


def test_what_is_declared_in_words_of_constant_maps():
    others = {info.name: of_constant_maps(info) for info in BROKEN if info not in CONSTANT}
    assert others == {"max_sensitivity": 0}


REFERRED = [info for info in metrics() if info.truth == "map"]
LEVELS = [
    (info, case, level)
    for info in REFERRED
    for case, level in (("no_truth", 0.0), ("full_truth", 1.0))
    if isinstance(info.cases[case], float)
]


def test_only_two_references_that_are_uniform_are_declared_in_words():
    told = {info.name for info in REFERRED} - {info.name for info, case, _ in LEVELS if case == "full_truth"}
    assert told == {"kl_divergence", "similarity"}  # what they give stands beside the other words
    assert sum(case == "no_truth" for _, case, _ in LEVELS) == len(REFERRED)


@pytest.mark.parametrize(("info", "case", "level"), LEVELS, ids=[f"{i.name}-{c}" for i, c, _ in LEVELS])
def test_an_empty_and_a_full_reference_are_answered_as_declared(info, case, level):
    assert same(info.function(random_map(3), np.full(SIZE, level)), info.cases[case])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("info", REFERRED, ids=[info.name for info in REFERRED])
def test_a_broken_reference_is_answered_by_nan(info, bad):
    reference = random_map(7)
    reference[5, 6] = bad
    assert math.isnan(info.function(random_map(3), reference))


LOOKING_AT_THE_BOX = {"peak_offset", "localisation_accuracy", "energy_pointing_game"}
AT_THE_MASK = [i for i in metrics() if i.truth == "objects" and i.name not in LOOKING_AT_THE_BOX]


@pytest.mark.parametrize("info", AT_THE_MASK, ids=[info.name for info in AT_THE_MASK])
def test_an_object_without_a_pixel_is_no_better_than_none(info):
    """An empty mask is never a hit: 0, or not defined."""
    empty = [Annotation(Box(4, 5, 11, 9), mask=np.zeros(SIZE, bool))]
    assert not object_mask(empty[0], SIZE).any()
    value = call(info, random_map(3), empty)
    assert math.isnan(value) or value == 0
