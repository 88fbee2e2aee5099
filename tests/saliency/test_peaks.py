"""Peak, peaks and places of one map agree on what is highest, and on maps that say nothing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xiqa.saliency.peaks import find, peak, peaks, says_something

SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 9))
COARSE = arrays(np.float32, SHAPES, elements=st.sampled_from([-2.0, 0.0, 0.5, 1.0, 3.0, np.nan, np.inf]))
FINE = arrays(np.float32, SHAPES, elements=st.floats(-4, 4, width=32))
NEAR = arrays(np.float32, SHAPES, elements=st.sampled_from([1.0, 1.0 + 5e-7, 1.0 + 2e-6, 1.0 + 1e-5]))


@settings(deadline=None, max_examples=300)
@given(st.one_of(COARSE, FINE, NEAR))
def test_the_first_is_the_same(values):
    first, several, places = peak(values), peaks(values, count=3, separation=2), find(values, count=3)
    if not says_something(values):
        assert (first, several, places) == (None, [], ())
        return
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert first == several[0][0] == places[0].peak == (column, row)
    assert several[0][1] == values.max()
    assert places[0].score == 1
