"""The frame maps points, boxes and maps both ways, exactly."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from xiqa.errors import GeometryError
from xiqa.geometry import Box, Frame

SIDE = st.integers(1, 3000)
SIZE = st.tuples(SIDE, SIDE)


@st.composite
def frames(draw, side=SIDE):
    size = st.tuples(side, side)
    original, model = draw(size), draw(size)
    kind = draw(st.sampled_from(["resize", "aspect", "letterbox", "crop"]))
    if kind == "crop":
        x0, y0 = draw(st.integers(0, original[1] - 1)), draw(st.integers(0, original[0] - 1))
        x1, y1 = draw(st.integers(x0, original[1] - 1)), draw(st.integers(y0, original[0] - 1))
        return Frame.crop(original, Box(x0, y0, x1, y1), model)
    if kind == "letterbox":
        return Frame.letterbox(original, model)
    return Frame.resize(original, model, keep_aspect=kind == "aspect")


COORDINATE = st.floats(-4000, 4000)


@given(frames(), st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=5))
def test_points_go_there_and_back(frame, points):
    there = frame.points_to_model(points)
    np.testing.assert_allclose(frame.points_to_original(there), points, rtol=0, atol=1e-8)
    back = frame.points_to_original(points)
    np.testing.assert_allclose(frame.points_to_model(back), points, rtol=0, atol=1e-8)


@given(frames(), COORDINATE, COORDINATE, st.floats(0, 500), st.floats(0, 500))
def test_boxes_go_there_and_back(frame, x0, y0, w, h):
    box = Box(x0, y0, x0 + w, y0 + h)
    np.testing.assert_allclose(frame.box_to_original(frame.box_to_model(box)), box, rtol=0, atol=1e-8)
    model = frame.box_to_model(box)
    assert model.width == pytest.approx(box.width * frame.scale[0], abs=1e-8)
    assert model.height == pytest.approx(box.height * frame.scale[1], abs=1e-8)


@given(frames())
def test_the_region_fills_the_window(frame):
    np.testing.assert_allclose(frame.box_to_model(frame.region), frame.window, atol=1e-8)


@given(SIZE, SIZE)
def test_letterbox_touches_two_sides_centres_and_keeps_the_aspect(original, model):
    frame = Frame.letterbox(original, model)
    window = frame.window
    right, below = model[1] - 1 - window.x1, model[0] - 1 - window.y1
    assert min(window.x0 + right, window.y0 + below) == 0
    assert 0 <= right - window.x0 <= 1
    assert 0 <= below - window.y0 <= 1
    exact = min(model[0] / original[0], model[1] / original[1])
    assert abs(window.width - max(1, original[1] * exact)) <= 0.5 + 1e-9
    assert abs(window.height - max(1, original[0] * exact)) <= 0.5 + 1e-9


def test_closed_forms_of_the_pixel_centres():
    double = Frame.resize((4, 6), (8, 12))
    np.testing.assert_allclose(double.points_to_model([[0, 0], [5, 3]]), [[0.5, 0.5], [10.5, 6.5]])
    assert double.box_to_model(Box(1, 1, 2, 2)) == Box(2, 2, 5, 5)
    crop = Frame.crop((100, 100), Box(10, 20, 29, 39), (40, 40))
    assert crop.box_to_model(Box(10, 20, 10, 20)) == Box(0, 0, 1, 1)
    assert crop.box_to_original(Box(0, 0, 39, 39)) == Box(10, 20, 29, 39)


def torch_resize(array, size, antialias):
    tensor = torch.from_numpy(array)[None, None]
    return interpolate(tensor, size=size, mode="bilinear", align_corners=False, antialias=antialias)[
        0, 0
    ].numpy()


@pytest.mark.parametrize("model", [(32, 48), (90, 70), (50, 160), (61, 97)])
def test_resampling_agrees_with_torch(model):
    rng = np.random.default_rng(0)
    image = rng.random((61, 97), dtype=np.float32)
    frame = Frame.resize(image.shape, model)
    np.testing.assert_allclose(frame.image_to_model(image), torch_resize(image, model, True), atol=1e-5)
    heat = rng.random(model, dtype=np.float32)
    np.testing.assert_allclose(frame.map_to_original(heat), torch_resize(heat, image.shape, False), atol=1e-5)


def test_letterbox_pads_with_the_fill_value_and_forgets_the_padding():
    rng = np.random.default_rng(1)
    image = rng.random((40, 20, 3), dtype=np.float32)
    frame = Frame.letterbox((40, 20), (60, 60))
    model = frame.image_to_model(image, fill=0.25)
    assert model.shape == (60, 60, 3)
    assert (model[:, :15] == 0.25).all()
    assert (model[:, 45:] == 0.25).all()
    assert not (model[:, 15] == 0.25).any()
    heat = np.full((60, 60), 7.0)
    heat[:, 15:45] = 1.0  # the padding burns, the content does not
    np.testing.assert_array_equal(frame.map_to_original(heat), np.ones((40, 20)))


def test_outside_of_a_crop_the_map_is_zero():
    frame = Frame.crop((50, 60), Box(10, 5, 29, 24), (40, 40))
    heat = frame.map_to_original(np.ones((40, 40)))
    expected = np.zeros((50, 60))
    expected[5:25, 10:30] = 1
    np.testing.assert_array_equal(heat, expected)
    np.testing.assert_allclose(frame.map_to_model(expected), np.ones((40, 40)))


def test_a_crop_may_cut_pixels():
    frame = Frame.crop((10, 10), Box(1.5, 2.0, 5.5, 6.0), (10, 10))
    ramp = np.broadcast_to(np.arange(10.0), (10, 10))
    columns = frame.points_to_original([[x, 0] for x in range(10)])[:, 0]
    np.testing.assert_allclose(frame.image_to_model(ramp)[5, 1:-1], columns[1:-1], atol=1e-5)


@given(frames(st.integers(1, 40)))
def test_a_ramp_keeps_its_values_at_mapped_points(frame):
    """A linear ramp is what linear interpolation reproduces: it tells each pixel's own coordinate."""
    h, w = frame.model_size
    ramp = np.broadcast_to(np.arange(w, dtype=np.float32), (h, w))
    told = frame.map_to_original(ramp)[int(frame.region.y0)]
    columns = np.arange(int(frame.region.x0), int(frame.region.x1) + 1)
    expected = frame.points_to_model(np.stack([columns, columns], -1))[:, 0]
    expected = expected.clip(frame.window.x0, frame.window.x1)
    np.testing.assert_allclose(told[columns], expected, atol=1e-4)


@given(frames())
def test_frames_travel_as_json(frame):
    assert Frame.from_dict(json.loads(json.dumps(frame.to_dict()))) == frame


def test_a_frame_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Frame.resize((2, 2), (4, 4)).region = Box(0, 0, 1, 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Frame.crop((10, 10), Box(5, 5, 10, 9), (4, 4)),
        lambda: Frame.crop((10, 10), Box(5, 5, 4, 9), (4, 4)),
        lambda: Frame.crop((10, 10), Box(-1, 0, 4, 9), (4, 4)),
        lambda: Frame.resize((0, 10), (4, 4)),
        lambda: Frame((10, 10), (4, 4), Box(0, 0, 9, 9), Box(0.5, 0, 3, 3)),
        lambda: Frame.letterbox((10, 10), (0, 4)),
        lambda: Frame.resize((10, 10), (4, 4)).image_to_model(np.zeros((9, 10))),
        lambda: Frame.resize((10, 10), (4, 4)).map_to_original(np.zeros((10, 10))),
    ],
)
def test_what_does_not_fit_is_refused(make):
    with pytest.raises(GeometryError):
        make()


def test_a_picture_of_other_proportions_shows_the_region_scaled_along_each_axis():
    frame = Frame.crop((40, 60), Box(6, 4, 35, 23), (10, 12))
    shown = frame.of_picture((20, 15))  # rows halved, columns quartered
    assert (shown.region, shown.window) == (Box(1.5, 2, 8, 11), frame.window)
    assert (shown.original_size, shown.model_size) == ((20, 15), (10, 12))


@given(frames(), SIZE)
def test_the_same_share_of_a_picture_lies_at_the_same_place_of_the_model(frame, picture):
    (rows, columns), shown = frame.original_size, frame.of_picture(picture)
    edges = np.array([[0.0, 0.0], [0.3, 0.8], [1.0, 1.0]])
    there = frame.points_to_model(edges * (columns, rows) - 0.5)
    again = shown.points_to_model(edges * picture[::-1] - 0.5)
    np.testing.assert_allclose(again, there, atol=1e-6 * max(frame.model_size) * max(frame.original_size))
