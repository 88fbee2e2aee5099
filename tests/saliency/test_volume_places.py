"""Peaks, boxes and distances in volumes whose voxels are no cubes."""

import itertools

import numpy as np
import pytest

from xiqa.errors import SaliencyError
from xiqa.saliency.peaks import find
from xiqa.saliency.volumes import find_in_volume, peak_distance, pointing_hit

SPACING = (4.0, 1.5, 0.5)


def two_bumps():
    values = np.zeros((6, 9, 11), np.float32)
    values[1:3, 2:4, 3:6] = 0.8
    values[1, 3, 4] = 1.0
    values[4, 6:8, 8:10] = 0.6
    values[4, 7, 9] = 0.75
    return values


def test_places_of_a_volume_have_their_boxes():
    first, second = find_in_volume(two_bumps(), count=5)
    assert (first.peak, first.first, first.last) == ((1, 3, 4), (1, 2, 3), (2, 3, 5))
    assert (second.peak, second.first, second.last) == ((4, 7, 9), (4, 6, 8), (4, 7, 9))
    assert (first.score, first.ties) == (1.0, 1)
    assert second.score == pytest.approx(0.75)


def test_separation_is_in_millimetres():
    values = two_bumps()
    apart = np.linalg.norm(np.array(SPACING) * (3, 4, 5))  # 13.6 mm
    assert len(find_in_volume(values, count=5, separation=apart - 0.01, spacing=SPACING)) == 2
    assert len(find_in_volume(values, count=5, separation=apart + 0.01, spacing=SPACING)) == 1


def test_one_slice_gives_the_places_of_the_image():
    rng = np.random.default_rng(0)
    for _ in range(20):
        image = rng.random((7, 9)).astype(np.float32)
        flat = find(image, count=4, fraction=0.7)
        deep = find_in_volume(image[None], count=4, fraction=0.7)
        assert [(place.peak[2], place.peak[1]) for place in deep] == [place.peak for place in flat]
        boxes = [(*reversed(place.first[1:]), *reversed(place.last[1:])) for place in deep]
        assert boxes == [tuple(place.box) for place in flat]


def test_a_map_that_points_nowhere_has_no_place():
    assert find_in_volume(np.ones((2, 3, 4), np.float32)) == ()
    truth = np.zeros((2, 3, 4), bool)
    truth[0, 1, 2] = True
    assert peak_distance(np.ones((2, 3, 4), np.float32), truth, SPACING) == np.inf
    assert not pointing_hit(np.full((2, 3, 4), np.nan, np.float32), truth, SPACING, 1e9)
    with pytest.raises(SaliencyError, match="no truth"):
        peak_distance(two_bumps(), np.zeros((6, 9, 11), bool), SPACING)
    with pytest.raises(SaliencyError, match="no truth"):
        peak_distance(two_bumps(), truth, SPACING)
    with pytest.raises(SaliencyError, match=r"\(d, h, w\)"):
        find_in_volume(np.ones((3, 4), np.float32))


def slow_distance(values, truth, spacing):
    peak = max(np.ndindex(values.shape), key=lambda place: (values[place], tuple(-p for p in place)))
    best = float("inf")
    for place in itertools.product(*map(range, truth.shape)):
        if truth[place]:
            best = min(
                best, sum((s * (p - q)) ** 2 for s, p, q in zip(spacing, peak, place, strict=True)) ** 0.5
            )
    return best


def test_distances_are_the_loops_in_millimetres():
    rng = np.random.default_rng(1)
    for _ in range(15):
        values = rng.integers(0, 12, (4, 5, 6)).astype(np.float32)  # with ties
        truth = rng.random((4, 5, 6)) > 0.97
        truth[tuple(rng.integers(0, 4, 3))] = True
        expected = slow_distance(values, truth, SPACING)
        assert peak_distance(values, truth, SPACING) == pytest.approx(expected)
        assert pointing_hit(values, truth, SPACING, expected)
        assert expected == 0 or not pointing_hit(values, truth, SPACING, expected - 1e-6)
