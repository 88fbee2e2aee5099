"""What holds for every display and every mask: brighter stays brighter, what is written is read."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from xiqa.imaging.dicom.display import Display, to_display
from xiqa.imaging.masks import annotation_from_mask, read_mask, tightest_box, write_mask

STORED = np.arange(-2048, 2048, 3, dtype=np.int16)


@given(
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    st.none() | st.tuples(st.floats(-3000, 3000), st.floats(1, 5000)),
    st.floats(-3, 3).filter(lambda slope: abs(slope) > 1e-3),
    st.floats(-2000, 2000),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_a_display_keeps_the_order_or_turns_it(function, window, slope, intercept, inverse):
    display = Display(slope, intercept, window=window, function=function, inverse=inverse)
    shown = to_display(STORED, (-2048, 2047), display)
    turned = (slope < 0) != inverse
    assert 0 <= shown.min() <= shown.max() <= 1
    assert (np.diff(shown.astype(np.float64)) * (-1 if turned else 1) >= -1e-6).all()


def test_a_window_of_width_one_parts_at_its_centre():
    shown = to_display(np.array([[8, 9, 10, 11]], np.int16), (0, 15), Display(window=(10, 1)))
    assert shown.tolist() == [[0, 0, 1, 1]]


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=19)))
@settings(deadline=None, max_examples=20)
def test_a_mask_is_read_as_it_was_written(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("mask") / "mask.png"
    write_mask(mask, path)
    again = read_mask(path)
    assert again.dtype == bool
    np.testing.assert_array_equal(again, mask)


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=19)))
def test_the_tightest_box_holds_every_pixel_and_none_of_its_sides_is_empty(mask):
    found = annotation_from_mask(mask, "clip")
    assert len(found) == mask.any()
    if found:
        x0, y0, x1, y1 = map(int, tightest_box(mask))
        inside = mask[y0 : y1 + 1, x0 : x1 + 1]
        assert inside.sum() == mask.sum()
        assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
        assert (found[0].kind, found[0].box) == ("clip", tightest_box(mask))
