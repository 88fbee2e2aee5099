"""The Pointing Game against its replica, closed forms and the settings of the papers."""

import math

import numpy as np
import pytest
from tests.metrics.truths import BOX, ELLIPSE, FULL, OBJECTS, SIZE, random_map, spike
from tests.reference.metrics import pointing as replica

from xiqa.errors import MetricError
from xiqa.geometry import Box, Point
from xiqa.metrics.localisation.pointing_game import pointing_game, pointing_recall
from xiqa.metrics.truth import object_mask, union_mask
from xiqa.saliency.peaks import peak, peaks
from xiqa.types import Annotation


@pytest.mark.parametrize("shape", ["exact", "box"])
@pytest.mark.parametrize("frame", [None, (600, 600), (48, 64)])
@pytest.mark.parametrize("strict", [True, False])
def test_equals_the_replica(shape, frame, strict):
    outcomes = set()
    for seed in range(40):
        saliency = random_map(seed, levels=50 if seed % 2 else None)
        truth = [OBJECTS[seed % 4]]
        tolerance = [0, 1, 2, 3, 5, 25][seed % 6]
        ours = pointing_game(
            saliency, truth, tolerance=tolerance, frame=frame or "image", strict=strict, shape=shape
        )
        mask = union_mask(truth, SIZE, shape=shape)
        assert ours == replica.hit(saliency.tolist(), mask.tolist(), tolerance, strict, frame)
        outcomes.add(ours)
    assert outcomes == {0.0, 1.0}


@pytest.mark.parametrize(("strict", "expected"), [(True, 0.0), (False, 1.0)])
def test_a_peak_at_exactly_the_tolerance(strict, expected):
    truth = [Annotation(Box(10, 10, 12, 12))]
    assert pointing_game(spike(15, 16), truth, tolerance=5, strict=strict) == expected  # a 3-4-5 triangle
    assert pointing_game(spike(15, 16), truth, tolerance=5.001, strict=strict) == 1.0


def test_a_peak_inside_hits_at_tolerance_zero():
    assert pointing_game(spike(4, 5), [BOX], tolerance=0) == 1.0
    assert pointing_game(spike(3, 5), [BOX], tolerance=0) == 0.0


def test_the_frame_scales_the_tolerance():
    saliency, truth = spike(25, 12, (300, 300)), [Annotation(Box(10, 10, 12, 12))]  # 13 px away
    assert pointing_game(saliency, truth, tolerance=15) == 1.0
    assert pointing_game(saliency, truth, tolerance=15, frame="object-cxr") == 0.0  # 26 px of 600
    assert pointing_game(saliency, truth, tolerance=15, frame="lvot") == 1.0  # 9.7 px of 224


def test_a_tolerance_as_a_fraction_of_the_diagonal_does_not_depend_on_the_frame():
    truth = [Annotation(Box(0, 0, 2, 2))]
    for fraction, expected in ((0.049, 0.0), (0.051, 1.0)):  # 5 px of a 100 px diagonal
        for frame in ("image", (600, 800), (30, 40)):
            saliency = spike(5, 6, (60, 80))
            hit = pointing_game(saliency, truth, tolerance=fraction, unit="diagonal", frame=frame)
            assert hit == expected


def test_every_shape_as_its_box_is_more_lenient():
    corner = spike(15, 2)  # the ellipse's box reaches here, the ellipse does not
    assert pointing_game(corner, [ELLIPSE], tolerance=0) == 0.0
    assert pointing_game(corner, [ELLIPSE], tolerance=0, shape="box") == 1.0


def test_one_of_several_objects_is_enough():
    assert pointing_game(spike(5, 6), OBJECTS, tolerance=1) == 1.0
    assert pointing_game(spike(5, 6), OBJECTS[1:], tolerance=1) == 0.0


@pytest.mark.parametrize("game", [pointing_game, pointing_recall])
def test_degenerate_inputs(game):
    assert math.isnan(game(spike(0, 0), []))
    assert game(random_map(0), FULL, tolerance=0) == 1.0
    # the object lies at (0, 0), where a careless argmax of nothing would point
    corner = [Annotation(Box(0, 0, 3, 3))]
    assert game(np.zeros(SIZE), corner) == 0.0
    assert game(np.full(SIZE, -3.0), corner) == 0.0
    broken = spike(0, 0)
    broken[10, 10] = np.nan
    assert game(broken, corner) == 0.0
    assert game(np.where(broken == broken, -np.inf, 0.0), corner) == 0.0


def test_an_object_without_a_pixel_is_none():
    empty = Annotation(Box(0, 0, 3, 3), mask=np.zeros(SIZE, bool))
    assert math.isnan(pointing_game(spike(0, 0), [empty], tolerance=1e6))
    assert pointing_game(spike(0, 0), [empty, Annotation(Box(20, 9, 22, 11))], tolerance=3) == 0.0


def test_ties_go_to_the_first_in_row_major_order():
    saliency = np.zeros(SIZE)
    saliency[3, 20] = saliency[4, 1] = saliency[3, 25] = 2.0
    assert peak(saliency) == Point(20, 3)
    assert type(peak(saliency).x) is float


def test_an_all_negative_map_has_a_peak():
    assert peak(spike(7, 8) - 5) == Point(7, 8)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("levels", [None, 12])
def test_non_maximum_suppression_equals_the_replica(seed, levels):
    saliency = random_map(seed, levels=levels)
    ours = [tuple(p) for p, _ in peaks(saliency, count=20, separation=6)]
    assert ours == replica.suppressed_peaks(saliency.tolist(), 20, 6)
    assert len(ours) > 5


def test_recall_counts_objects_not_peaks():
    saliency = np.maximum(spike(5, 6), 0.9 * spike(9, 6)) + 0.5 * spike(20, 6)
    truth = [BOX, ELLIPSE]
    assert pointing_recall(saliency, truth, tolerance=2, separation=5) == 1.0
    # without suppression both peaks fall on the first object
    assert pointing_recall(saliency, truth, tolerance=2, separation=1) == 0.5
    assert pointing_recall(saliency, truth, tolerance=2, count=1) == 0.5


@pytest.mark.parametrize("seed", range(8))
def test_recall_with_one_peak_and_one_object_is_the_pointing_game(seed):
    saliency = random_map(seed)
    for tolerance in (1, 4, 8):
        one = pointing_recall(saliency, [BOX], tolerance=tolerance, count=1)
        assert one == pointing_game(saliency, [BOX], tolerance=tolerance)


@pytest.mark.parametrize("seed", range(4))
def test_recall_equals_the_replica(seed):
    saliency = random_map(seed)
    found = replica.suppressed_peaks(saliency.tolist(), 4, 5)
    reached = 0
    for annotation in OBJECTS:
        mask = object_mask(annotation, SIZE)
        reached += any(replica.hit(spike(x, y).tolist(), mask.tolist(), 3, True) for x, y in found)
    assert pointing_recall(saliency, OBJECTS, tolerance=3, separation=5) == reached / 4


@pytest.mark.parametrize(
    "parameters", [{"frame": "room"}, {"tolerance": -1}, {"tolerance": math.nan}, {"unit": "inches"}]
)
def test_parameters_without_meaning(parameters):
    with pytest.raises(MetricError):
        pointing_game(spike(0, 0), [BOX], **parameters)
