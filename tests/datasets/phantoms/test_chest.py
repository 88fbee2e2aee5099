"""Simulated chest radiographs: their truth, their variety, their determinism."""

import numpy as np
import pytest

from xiqa.errors import ConfigError
from xiqa.simulation.chest import OBJECTS, Scenario, scenario_grid, simulate_chest
from xiqa.simulation.chest.objects import foreign_object

SMALL = (160, 160)


@pytest.fixture(scope="module")
def radiographs():
    return [simulate_chest(seed, size=SMALL) for seed in range(40)]


def test_same_seed_same_image_other_seed_another():
    first, same, other = (simulate_chest(seed, size=SMALL) for seed in (7, 7, 8))
    assert np.array_equal(first.image.pixels, same.image.pixels)
    assert [a.box for a in first.annotations] == [a.box for a in same.annotations]
    assert not np.array_equal(first.image.pixels, other.image.pixels)


def test_simulated_images_are_in_range(radiographs):
    for radiograph in radiographs:
        pixels = radiograph.image.pixels
        assert pixels.dtype == np.float32
        assert pixels.shape == SMALL == radiograph.lung_mask.shape
        assert np.isfinite(pixels).all()
        assert 0 <= pixels.min() < pixels.max() <= 1
        assert radiograph.image.spacing == pytest.approx((2.3, 2.3), rel=0.2)


def test_box_is_the_tightest_around_its_mask(radiographs):
    count = 0
    for radiograph in radiographs:
        for annotation in radiograph.annotations:
            rows, columns = np.nonzero(annotation.mask)
            assert annotation.box == (columns.min(), rows.min(), columns.max(), rows.max())
            count += 1
    assert count > 40


def test_label_is_a_removable_object_over_the_chest(radiographs):
    for radiograph in radiographs:
        assert radiograph.label == any(
            {"removable", "outside"} & {*a.groups} == {"removable"} for a in radiograph.annotations
        )
        assert radiograph.label == any(a.problem for a in radiograph.annotations)
    assert 0.25 < np.mean([radiograph.label for radiograph in radiographs]) < 0.75


def test_markers_and_implants_are_no_reason(radiographs):
    kinds = {
        a.kind for radiograph in radiographs for a in radiograph.annotations if "removable" not in a.groups
    }
    assert {"marker", "line"} <= kinds
    for seed in range(6):
        radiograph = simulate_chest(seed, size=SMALL, objects=Scenario(count="none", implant=True))
        assert radiograph.label == 0
        assert any("removable" not in a.groups and a.kind != "marker" for a in radiograph.annotations)


@pytest.mark.parametrize("scenario", scenario_grid(), ids=lambda scenario: scenario.name)
def test_scenarios_give_what_they_say(scenario):
    radiograph = simulate_chest(len(scenario.name), size=(200, 200), objects=scenario)
    removable = [a for a in radiograph.annotations if "removable" in a.groups]
    assert radiograph.label == (scenario.count != "none" and scenario.place != "outside")
    assert bool(removable) == (scenario.count != "none")
    if scenario.implant is False:
        assert all("removable" in a.groups or a.kind == "marker" for a in radiograph.annotations)
    compact = [a.kind for a in removable if a.kind != "lead"]
    if scenario.count == "same":
        assert len(set(compact)) == 1
        assert len(compact) >= 2
    if scenario.place == "marker":
        assert any(a.kind == "marker" for a in radiograph.annotations)


def test_large_objects_are_larger_than_small_ones():
    area = {}
    for size in ("small", "large"):
        scenario = Scenario(count="one", size=size, place="lung", kinds=("coin",), implant=False)
        radiographs = (simulate_chest(seed, size=SMALL, objects=scenario) for seed in range(5))
        area[size] = np.mean([f.annotations[0].mask.sum() for f in radiographs])
    assert area["large"] > 4 * area["small"]


def test_objects_lie_where_asked():
    for seed in range(6):
        radiograph = simulate_chest(
            seed, size=SMALL, objects=Scenario("one", place="lung", kinds=("button",))
        )
        mask = next(a.mask for a in radiograph.annotations if a.kind == "button")
        assert radiograph.lung_mask[mask].mean() > 0.5
        radiograph = simulate_chest(
            seed, size=SMALL, objects=Scenario("one", place="heart", kinds=("button",))
        )
        mask = next(a.mask for a in radiograph.annotations if a.kind == "button")
        assert radiograph.lung_mask[mask].mean() < 0.5


def test_another_scenario_shows_the_same_patient():
    clean, foreign = (
        simulate_chest(3, size=SMALL, objects=Scenario(count, place="lung", kinds=("coin",), implant=False))
        if count != "none"
        else simulate_chest(3, size=SMALL, objects=Scenario("none", implant=False))
        for count in ("none", "one")
    )
    assert np.array_equal(clean.lung_mask, foreign.lung_mask)
    assert clean.parameters["body"] == foreign.parameters["body"]
    coin = next(a.mask for a in foreign.annotations if a.kind == "coin")
    change = foreign.image.pixels - clean.image.pixels
    assert change[coin].mean() > 0.1
    assert np.abs(change[~coin]).mean() < 0.2 * change[coin].mean()


@pytest.mark.parametrize("kind", OBJECTS)
def test_every_kind_shows(kind):
    """An object is brighter than the same image without it, over its mask."""
    scenario = Scenario("one", kinds=(kind,), implant=False)
    radiograph = simulate_chest(5, size=(320, 320), objects=scenario)
    clean = simulate_chest(5, size=(320, 320), objects=Scenario("none", implant=False))
    shown = np.logical_or.reduce([a.mask for a in radiograph.annotations if "removable" in a.groups])
    change = (radiograph.image.pixels - clean.image.pixels)[shown]
    assert change.mean() > 0.015
    assert radiograph.label == 1


def test_anatomy_has_its_grey_values():
    """Lungs are darker than what lies between and below them; neither is lost."""
    for seed in range(8):
        radiograph = simulate_chest(seed, size=SMALL, objects=Scenario("none", implant=False), marker=False)
        pixels, lungs = radiograph.image.pixels, radiograph.lung_mask
        rows, columns = np.nonzero(lungs)
        below = pixels[min(rows.max() + 8, 155) :, columns.min() + 10 : columns.max() - 10]
        assert 0.06 < lungs.mean() < 0.5
        assert np.median(pixels[lungs]) < np.median(below) - 0.05
        assert 0.15 < np.median(pixels[lungs]) < 0.75


def test_bedside_images_differ_from_those_of_the_stand(radiographs):
    assert 0.2 < np.mean([radiograph.parameters["body"]["portable"] for radiograph in radiographs]) < 0.8
    assert 0.2 < np.mean([radiograph.parameters["body"]["female"] for radiograph in radiographs]) < 0.8


@pytest.mark.parametrize("size", [(48, 48), (200, 320), (333, 321), (601, 401)])
def test_any_size_will_do(size):
    assert simulate_chest(2, size=size).image.size == size


def test_marker_can_be_had_or_left_out():
    for wanted in (True, False):
        radiograph = simulate_chest(1, size=SMALL, marker=wanted)
        assert any(a.kind == "marker" for a in radiograph.annotations) == wanted


def test_wrong_requests_are_refused():
    with pytest.raises(ConfigError, match="at least 48"):
        simulate_chest(0, size=(40, 200))
    with pytest.raises(ConfigError, match="unknown count"):
        Scenario(count="many")
    with pytest.raises(ConfigError, match="unknown object kind"):
        simulate_chest(0, size=SMALL, objects=Scenario("one", kinds=("spoon",)))
    with pytest.raises(ConfigError, match="own place"):
        simulate_chest(0, size=SMALL, objects=Scenario("one", place="lung", kinds=("necklace",)))
    with pytest.raises(ConfigError, match="two kinds"):
        foreign_object("button")(lambda pen, marks, rng: None)
