"""What metrics do unless told otherwise, and what their arguments do at their ends."""

import inspect
import math

import numpy as np
import pytest
import torch
from tests.metrics.networks import picture, small_network
from tests.metrics.truths import BOX, SIZE, pixels, spike

from xiqa.errors import MetricError
from xiqa.geometry import Box, Point
from xiqa.metrics import get_metric
from xiqa.metrics.faithfulness.aopc import LAMPROU, SAMEK
from xiqa.metrics.faithfulness.infidelity import infidelity
from xiqa.metrics.faithfulness.road import PERCENTAGES, road
from xiqa.metrics.localisation.froc import LEVELS, candidates, froc
from xiqa.metrics.localisation.pointing_game import pointing_game, pointing_recall
from xiqa.metrics.randomisation import randomisation_curve
from xiqa.metrics.robustness.sensitivity import max_sensitivity
from xiqa.metrics.threshold import tune_level
from xiqa.metrics.truth import distance_to
from xiqa.saliency.peaks import peaks
from xiqa.saliency.probe import TorchProbe
from xiqa.types import Annotation

NETWORK = small_network(channels=1)
IMAGE = picture(channels=1, size=SIZE)
PROBE = TorchProbe(NETWORK)


def test_the_papers_settings_are_those_of_the_papers():
    assert LEVELS == (0.125, 0.25, 0.5, 1, 2, 4, 8)
    assert tuple(range(10, 100, 10)) == PERCENTAGES
    assert SAMEK == {"region": 9, "fill": "uniform", "steps": 100}
    assert (LAMPROU["region"], LAMPROU["strength"], LAMPROU["steps"]) == (34, 0.1, None)


@pytest.mark.parametrize(
    ("name", "settings"),
    {
        "pointing_game": {"tolerance": 15.0, "frame": "image", "strict": True, "shape": "exact"},
        "pointing_recall": {"tolerance": 15.0, "count": None, "separation": None},
        "iou": {"threshold": "max", "level": 0.5, "region": "segment"},
        "localisation_accuracy": {"overlap": 0.5, "level": 0.2},
        "top_k_intersection": {"k": 1000},
        "aopc": {"region": 9, "steps": 100, "every": 1, "strength": 0.1, "sigma": 5.0, "repeats": 1},
        "insertion": {"step": None, "start": "blur", "sigma": 5.0},
        "road": {"percentages": PERCENTAGES, "noise": 0.01, "output": "correct"},
        "road_combined": {"percentages": (20, 40, 60, 80), "noise": 0.01, "output": "probability"},
        "infidelity": {"samples": 256, "strength": 0.2, "square": 16, "scaled": False},
        "sensitivity_n": {"shares": (0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8), "samples": 100, "region": 1},
        "max_sensitivity": {"radius": 0.02, "samples": 10, "relative": True},
        "effective_complexity": {"threshold": 0.1},
        "map_dice": {"threshold": "top", "level": 0.1},
    }.items(),
)
def test_published_numbers_hang_on_these_defaults(name, settings):
    params = get_metric(name).params
    assert {key: params[key] for key in settings} == settings


def test_candidates_are_ten_peaks_thirty_pixels_apart():
    defaults = inspect.signature(candidates).parameters
    assert (defaults["count"].default, defaults["separation"].default) == (10, 30.0)


def test_levels_are_tried_from_a_twentieth_to_nineteen():
    tried = []
    tune_level(lambda level: tried.append(level) or [0.0])
    assert tried == pytest.approx([place / 20 for place in range(1, 20)])


def test_peaks_keep_their_distance_in_the_unit_of_the_frame():
    """Rows count three, columns a half: ten columns are near, two rows are far."""
    saliency = np.zeros((9, 24))
    saliency[2, 3], saliency[2, 12], saliency[4, 3] = 3.0, 2.0, 1.0
    found = peaks(saliency, count=5, separation=5.0, scale=(3.0, 0.5))
    assert [point for point, _ in found] == [Point(3, 2), Point(3, 4)]
    assert [point for point, _ in peaks(saliency, count=5, separation=5.0)] == [Point(3, 2), Point(12, 2)]


def test_a_frame_of_another_shape_measures_each_axis_by_its_own():
    """48 rows of 24, 32 columns of 32: a row counts two."""
    beside, below = spike(16, 7), spike(8, 12)
    assert pointing_game(beside, [BOX], tolerance=5.5, frame=(48, 32)) == 1.0  # five columns
    assert pointing_game(below, [BOX], tolerance=5.5, frame=(48, 32)) == 0.0  # three rows
    assert pointing_game(below, [BOX], tolerance=6.5, frame=(48, 32)) == 1.0
    diagonal = math.hypot(48, 32)
    assert pointing_recall(below, [BOX], tolerance=6.5 / diagonal, unit="diagonal", frame=(48, 32)) == 1.0
    assert pointing_recall(below, [BOX], tolerance=5.5 / diagonal, unit="diagonal", frame=(48, 32)) == 0.0


def test_a_distance_along_one_axis_is_that_axis_alone():
    box = Annotation(Box(20, 3, 26, 5))
    assert distance_to(box, Point(2, 4), SIZE, scale=(5, 1)) == 18.0
    assert distance_to(box, Point(22, 15), SIZE, scale=(5, 1)) == 50.0


def test_a_candidate_may_lie_anywhere_on_the_outermost_pixels():
    mask = pixels(rows=slice(0, 24), columns=slice(0, 32))
    for point in (Point(-0.5, -0.5), Point(31.4, 23.4)):
        assert froc([[(point, 0.5)]], [[mask]]) == 1.0
    for point in (Point(-0.6, 3), Point(3, -0.6), Point(31.5, 3), Point(3, 23.5)):
        with pytest.raises(MetricError, match="different grids"):
            froc([[(point, 0.5)]], [[mask]])


def test_ends_of_ranges_belong_to_them_or_do_not():
    whole = [pixels(rows=slice(0, 24), columns=slice(0, 32))]
    assert get_metric("iou").function(spike(3, 3), whole, level=0.0) == 1.0
    assert get_metric("iou").function(spike(3, 3), whole, level=1.0) == pytest.approx(1 / 768)
    assert road(PROBE, IMAGE, spike(3, 3), 1, percentages=(0,)) in (0.0, 1.0)
    with pytest.raises(MetricError, match="percentages has no meaning"):
        road(PROBE, IMAGE, spike(3, 3), 1, percentages=(100,))
    with pytest.raises(MetricError, match="tolerance has no meaning"):
        pointing_game(spike(3, 3), whole, tolerance=True)


def test_a_map_of_zeros_cannot_be_scaled_and_predicts_nothing():
    settings = {"samples": 8, "square": 4, "seed": 3}
    flat = np.zeros(SIZE)
    scaled = infidelity(PROBE, IMAGE, flat, 1, scaled=True, **settings)
    assert scaled == infidelity(PROBE, IMAGE, flat, 1, **settings) > 0


def test_neighbours_lie_on_both_sides_within_the_radius():
    seen = []

    def explain(images):
        seen.append(images)
        return images.abs().sum(dim=1)

    max_sensitivity(explain, IMAGE, radius=0.3, samples=20)
    change = torch.cat(seen[1:]) - IMAGE
    assert 0.28 < change.max() <= 0.3 + 1e-6
    assert -0.3 - 1e-6 <= change.min() < -0.28
    assert abs(change.mean()) < 0.01


def test_semi_is_the_classifier_alone_and_full_is_everything():
    def explain(images):
        with torch.no_grad():
            return (images * NETWORK(images)[:, 1, None, None, None]).sum(dim=1)

    each = randomisation_curve(NETWORK, explain, IMAGE, mode="independent")
    names = list(each)
    assert len(names) > 2
    assert list(randomisation_curve(NETWORK, explain, IMAGE, mode="semi")) == names[:1]
    assert list(randomisation_curve(NETWORK, explain, IMAGE, mode="full")) == names[-1:]
