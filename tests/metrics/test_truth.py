"""Objects as pixels."""

import numpy as np
import pytest
from skimage.draw import polygon2mask
from tests.metrics.truths import BOX, ELLIPSE, MASK, OBJECTS, POLYGON, SIZE

from xiqa.errors import MetricError
from xiqa.geometry import Box, Point
from xiqa.metrics.truth import contains, distance_to, object_mask, union_mask
from xiqa.types import Annotation


@pytest.mark.parametrize("annotation", OBJECTS, ids=["box", "ellipse", "polygon", "mask"])
def test_a_pixel_is_in_the_mask_when_its_centre_is_in_the_object(annotation):
    mask = object_mask(annotation, SIZE)
    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            assert mask[row, column] == contains(annotation, Point(column, row))


def test_a_box_covers_its_first_and_last_pixel():
    assert object_mask(BOX, SIZE).sum() == BOX.box.width * BOX.box.height == 40


def test_an_ellipse_fills_pi_fourths_of_its_box_and_touches_its_sides():
    big = Annotation(Box(10, 20, 409, 219), ellipse=True)
    mask = object_mask(big, (300, 500))
    assert mask.sum() == pytest.approx(np.pi / 4 * 400 * 200, rel=1e-3)
    assert mask[:, 10].any()
    assert mask[219].any()
    assert not mask[20, 10]


def test_a_polygon_agrees_with_scikit_image_off_its_edges():
    corners = np.array([(p.y, p.x) for p in POLYGON.polygon])
    ours, theirs = object_mask(POLYGON, SIZE), polygon2mask(SIZE, corners)
    assert theirs.sum() > 40
    assert not (theirs & ~ours).any()
    # pixel centres exactly on an edge are ours and may or may not be theirs
    for row, column in np.argwhere(ours & ~theirs):
        assert min(abs(_edge_distance(a, b, column, row)) for a, b in _edges()) < 1e-9


def _edges():
    corners = POLYGON.polygon
    return zip(corners, corners[1:] + corners[:1], strict=True)


def _edge_distance(a, b, x, y):
    return ((b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x)) / np.hypot(b.x - a.x, b.y - a.y)


def test_objects_that_leave_the_image_are_cut_at_its_border():
    assert object_mask(Annotation(Box(-5, -5, 1, 0)), SIZE).sum() == 2
    assert object_mask(Annotation(Box(100, 100, 120, 120)), SIZE).sum() == 0
    assert object_mask(Annotation(Box(-9, -9, -2, -2), ellipse=True), SIZE).sum() == 0


def test_the_union_counts_a_pixel_once():
    assert union_mask([BOX, BOX], SIZE).sum() == 40
    assert union_mask([], SIZE).sum() == 0
    assert union_mask([ELLIPSE], SIZE, shape="box").sum() == 120


@pytest.mark.parametrize("annotation", OBJECTS, ids=["box", "ellipse", "polygon", "mask"])
@pytest.mark.parametrize("point", [Point(0, 0), Point(31, 23), Point(17, 13), Point(8, 7)])
def test_the_distance_is_that_to_the_nearest_pixel(annotation, point):
    rows, columns = np.nonzero(object_mask(annotation, SIZE))
    expected = np.hypot(3 * (columns - point.x), 2 * (rows - point.y)).min()
    assert distance_to(annotation, point, SIZE, scale=(2, 3)) == pytest.approx(expected)


def test_a_mask_on_another_grid_is_an_error():
    with pytest.raises(MetricError, match="image's grid"):
        union_mask([MASK], (10, 10))
    with pytest.raises(MetricError, match="unknown shape"):
        union_mask([MASK], SIZE, shape="hexagon")
