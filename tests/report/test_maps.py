"""Maps as 16-bit pictures: the numbers come back within half a step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xiqa.report.maps import sixteen_bits


@given(arrays(np.float32, (3, 5), elements=st.floats(-1e6, 1e6, width=32)))
def test_values_come_back_within_half_a_step(values):
    pixels, scale = sixteen_bits(values)
    back = scale["offset"] + scale["slope"] * pixels.astype(np.float64)
    assert np.abs(back - values).max() <= 0.5 * scale["slope"] * (1 + 1e-6)
    if values.max() > values.min():
        assert (pixels.min(), pixels.max()) == (0, 65535)


def test_values_between_two_steps_go_to_the_nearer():
    pixels, scale = sixteen_bits(np.array([[-65535.0, 0.0, -0.4, -0.6, -65534.3]]))
    assert scale == {"offset": -65535.0, "slope": 1.0}
    assert pixels.tolist() == [[0, 65535, 65535, 65534, 1]]


@pytest.mark.parametrize("level", [0.0, -3.0])
def test_a_constant_map_is_0_above_its_level(level):
    pixels, scale = sixteen_bits(np.full((2, 3), level))
    assert pixels.tolist() == [[0] * 3] * 2
    assert scale == {"offset": level, "slope": 1.0}


def test_what_is_not_finite_becomes_0():
    pixels, scale = sixteen_bits(np.array([[np.nan, np.inf, -np.inf, -1.0, 1.0]]))
    values = scale["offset"] + scale["slope"] * pixels.astype(float)
    np.testing.assert_allclose(values, [[0, 0, 0, -1, 1]], atol=scale["slope"])
