"""Maps of any scale: what does not depend on it is the same for tiny, huge and shifted maps."""

import math

import numpy as np
import pytest
import torch

from tests.metrics.networks import picture, small_network
from tests.metrics.truths import OBJECTS, SIZE, random_map
from xiqa.metrics import metrics
from xiqa.metrics.agreement.fixations import nss
from xiqa.metrics.faithfulness.aopc import aopc
from xiqa.metrics.perturbation import region_turns
from xiqa.saliency.peaks import find, peak, says_something
from xiqa.saliency.probe import TorchProbe

NETWORK = small_network(channels=1)
IMAGE = picture(channels=1, size=SIZE)
FIXATIONS = (random_map(8) > 0.9).astype(float)
FREE = [i for i in metrics() if i.kind in ("agreement", "complexity", "faithfulness", "localisation")]
FREE = [i for i in FREE if i.scope == "image" and i.name not in ("infidelity",)]


def value(info, saliency):
    if info.kind == "localisation":
        return info.function(saliency, OBJECTS)
    if info.kind == "agreement":
        return info.function(saliency, FIXATIONS)
    if info.kind == "complexity":
        return info.function(saliency)
    settings = {k: v for k, v in {"samples": 20, "steps": 4, "percentages": (20, 40), "step": 200}.items()
                if k in info.params}  # fmt: skip
    if "explain" in info.params:
        settings["explain"] = lambda images: images.abs().sum(dim=1)
    return info.function(TorchProbe(NETWORK), IMAGE, saliency, 1, **settings)


@pytest.mark.parametrize("info", FREE, ids=lambda info: info.name)
@pytest.mark.parametrize("power", [-1000, -160, 160, 1000])
def test_a_power_of_two_changes_nothing(info, power):
    saliency = random_map(3) - 0.2
    assert value(info, np.ldexp(saliency, power)) == pytest.approx(value(info, saliency), rel=1e-12)


def test_fixations_on_a_tiny_map():
    saliency = random_map(4)
    z = (saliency - saliency.mean()) / saliency.std()
    expected = z[FIXATIONS > 0].mean()
    assert abs(expected) > 0.01
    for scale in (1e-300, 1e-170, 1e-30, 1e150, 1e300):
        assert nss(saliency * scale, FIXATIONS) == pytest.approx(expected)


def test_regions_are_ranked_in_double_precision():
    """Means that single precision cannot tell apart."""
    saliency = np.zeros((6, 12))
    for place, excess in enumerate([3e-9, 1e-9, 4e-9, 2e-9]):
        saliency[:, 3 * place : 3 * place + 3] = 1.0 + excess
    saliency[0:3, 0:3] = 0.5  # so that the map says something
    assert np.float32(1 + 4e-9) == np.float32(1)
    turns = region_turns(saliency, 3)
    assert turns[4, 6] < turns[4, 0] < turns[4, 9] < turns[4, 3]


def test_single_pixels_count_in_the_rank_of_a_region():
    saliency = np.full((4, 8), 0.1)
    saliency[1, 1] += 1e-12
    saliency[0, 7] = 0.9
    assert region_turns(saliency, 4)[0].tolist() == [1] * 4 + [0] * 4
    saliency[0, 7] = 0.1 - 1e-3
    assert region_turns(saliency, 4)[0].tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("level", [0.1, 1 / 3, 1e-300, 7e200])
def test_regions_of_equal_pixels_tie_whatever_their_size(level):
    """Cut regions at the border have other sums; a lower stripe makes the map say something."""
    saliency = np.full((10, 11), level)
    saliency[:, 9:] = level / 2
    orders = [region_turns(saliency, 3, seed=seed)[::3, :9:3].ravel() for seed in range(400)]
    first = np.bincount([int(order.argmin()) for order in orders], minlength=12)
    assert first.min() > 10  # 400 / 12 each: every region of the twelve comes first at times
    assert all(order.max() == 11 for order in orders)  # and the lower stripe is last


@pytest.mark.parametrize("excess", [2e-7, 5e-7, 9e-7])
def test_a_map_that_differs_by_rounding_is_constant_for_all(excess):
    saliency = np.ones(SIZE)
    saliency[3, 4] += excess
    assert peak(saliency) is None
    assert not says_something(saliency)
    assert find(saliency.astype(np.float64)) == ()
    for info in FREE:
        declared = info.cases.get("constant")
        if isinstance(declared, float):
            assert value(info, saliency) == pytest.approx(declared, nan_ok=True), info.name
    saliency[3, 4] = 1 + 2e-6
    assert peak(saliency) == (4, 3)
    assert find(saliency)[0].peak == (4, 3)


def test_a_map_of_rounding_has_a_random_order():
    saliency = np.ones(SIZE)
    saliency[:, :9] += 5e-7
    probe = TorchProbe(NETWORK)
    order = aopc(probe, IMAGE, saliency, 1, steps=3, region=4)
    assert order == pytest.approx(aopc(probe, IMAGE, np.ones(SIZE), 1, steps=3, region=4))


def test_robustness_of_tiny_maps_is_that_of_large_ones():
    by_name = {info.name: info.function for info in metrics()}

    def at(scale):
        return lambda images: images.double().abs().sum(dim=1) ** 2 * scale

    plain = by_name["max_sensitivity"](at(1.0), IMAGE, samples=4)
    assert 0 < plain < math.inf
    assert by_name["max_sensitivity"](at(1e-250), IMAGE, samples=4) == pytest.approx(plain)
    assert by_name["max_sensitivity"](at(1e250), IMAGE, samples=4) == pytest.approx(plain)
    steep = by_name["local_lipschitz"](at(1.0), IMAGE, samples=4)
    assert by_name["local_lipschitz"](at(1e-200), IMAGE, samples=4) == pytest.approx(steep * 1e-200)
    assert torch.isfinite(IMAGE).all()
