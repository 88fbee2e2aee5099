"""Objects between the pixel centres, beyond the border or without a pixel: one rule for all metrics."""

import math

import numpy as np
import pytest

from tests.metrics.truths import SIZE, random_map, spike
from xiqa.geometry import Box, Point
from xiqa.metrics import metrics
from xiqa.metrics.localisation.froc import froc
from xiqa.metrics.truth import contains, distance_to, object_mask, objects_on
from xiqa.types import Annotation

ON_IMAGES = [info for info in metrics() if info.kind == "localisation" and info.scope == "image"]
each_metric = pytest.mark.parametrize("info", ON_IMAGES, ids=lambda info: info.name)

SMALL = [
    Annotation(Box(7.2, 4.3, 7.4, 4.4)),
    Annotation(Box(7.2, 4.3, 7.4, 3.9)),  # less than a pixel high, as a frame makes it of a small box
    Annotation(Box(7.45, 4.45, 6.5, 3.5), ellipse=True),
    Annotation(Box(7.1, 4.1, 7.4, 4.4), polygon=(Point(7.1, 4.1), Point(7.4, 4.2), Point(7.3, 4.4))),
]
OUTSIDE = [
    Annotation(Box(-9, 3, -2, 8)),
    Annotation(Box(32, 0, 40, 5)),
    Annotation(Box(3, 24, 9, 30), ellipse=True),
    Annotation(Box(5, -8, 9, -3), polygon=(Point(5, -8), Point(9, -8), Point(7, -3))),
    Annotation(Box(0, 0, 9, 9), mask=np.zeros(SIZE, bool)),
]
PIXEL = Annotation(Box(7, 4, 7, 4))


@each_metric
@pytest.mark.parametrize("small", SMALL, ids=["box", "flat box", "ellipse", "polygon"])
def test_an_object_between_the_centres_is_the_pixel_of_its_middle(info, small):
    for saliency in (spike(7, 4), spike(20, 20), random_map(2)):
        given, whole = (info.function(saliency, [one]) for one in (small, PIXEL))
        if info.name == "peak_offset":  # to the middle of the box, wherever that is
            assert given == pytest.approx(whole, abs=1)
        else:
            assert given == pytest.approx(whole)
            assert not math.isnan(given)


@each_metric
@pytest.mark.parametrize("beyond", OUTSIDE, ids=["left", "right", "below", "above", "empty mask"])
def test_an_object_without_a_pixel_of_the_image_is_none(info, beyond):
    saliency = random_map(5)
    assert math.isnan(info.function(saliency, [beyond]))
    inside = Annotation(Box(3, 6, 11, 12))
    assert info.function(saliency, [beyond, inside]) == info.function(saliency, [inside])


@each_metric
def test_an_object_that_leaves_the_image_is_cut_at_its_border(info):
    saliency = random_map(6)
    given, cut = (info.function(saliency, [Annotation(Box(*b))]) for b in ((-20, 5, 6, 90), (0, 5, 6, 23)))
    if info.name != "peak_offset":  # the middle of the whole box
        assert given == pytest.approx(cut)


@pytest.mark.parametrize("small", SMALL, ids=["box", "flat box", "ellipse", "polygon"])
def test_candidates_find_an_object_between_the_centres(small):
    assert contains(small, Point(7, 4))
    assert not contains(small, Point(6, 4))
    assert not contains(small, Point(7, 5))
    assert froc([[(Point(7, 4), 0.9)]], [[small]]) == 1.0
    assert froc([[(Point(8, 4), 0.9)]], [[small]]) == 0.0


def test_an_empty_mask_is_no_object_of_a_set():
    truths = [[OUTSIDE[-1], PIXEL]]
    assert froc([[(Point(7, 4), 0.9)]], truths) == 1.0
    assert math.isnan(froc([[(Point(7, 4), 0.9)]], [[OUTSIDE[-1]]]))


def test_a_distance_is_that_to_the_nearest_pixel_of_the_image():
    half = Annotation(Box(3.5, 2.5, 8.5, 6.5))
    assert distance_to(half, Point(20, 4), SIZE) == 12.0  # from pixel 8
    assert distance_to(Annotation(Box(20, 3, 90, 5)), Point(2, 9), SIZE) == pytest.approx(math.hypot(18, 4))
    assert distance_to(OUTSIDE[0], Point(0, 4), SIZE) == math.inf


def test_a_box_of_any_length_is_told_at_once():
    line = Annotation(Box(-1e12, 4.2, 1e12, 4.4))
    assert objects_on([line], SIZE) == [] or object_mask(line, SIZE).sum() == 1
    assert object_mask(Annotation(Box(-1e12, 4, 1e12, 4)), SIZE).sum() == SIZE[1]


def test_the_two_ways_to_ask_agree_on_every_pixel():
    rng = np.random.default_rng(0)
    for _ in range(200):
        x0, y0 = rng.uniform(0, 28), rng.uniform(0, 20)
        width, height = rng.uniform(-0.9, 3, 2)
        one = Annotation(Box(x0, y0, x0 + width, y0 + height), ellipse=bool(rng.random() < 0.5))
        mask = object_mask(one, SIZE)
        asked = [[contains(one, Point(x, y)) for x in range(SIZE[1])] for y in range(SIZE[0])]
        assert (mask == np.array(asked)).all()
        assert mask.any()
