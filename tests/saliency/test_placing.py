"""A map on the image's grid by two matrices, against enlarging, smoothing and mapping step by step."""

import numpy as np
import pytest

from xiqa.geometry import Frame
from xiqa.saliency.maps import smooth, upsample
from xiqa.saliency.placing import on_original


@pytest.mark.parametrize("case", [(150, 150), (180, 97)])
@pytest.mark.parametrize("cells", [(16, 16), (9, 20), (144, 144)])
@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0])
def test_two_matrices_do_what_the_steps_do(case, cells, sigma):
    frame = Frame.letterbox(original=case, model=(144, 144))
    values = np.random.default_rng(0).normal(size=cells).astype(np.float32)
    large = upsample(values, (144, 144))
    if sigma:
        large = smooth(large, sigma, 2 * round(5 * sigma) + 1)
    placed = on_original(values, frame, sigma)
    assert placed.shape == case
    np.testing.assert_allclose(placed, frame.map_to_original(large), atol=1e-5)


def test_a_map_that_is_not_finite_stays_so():
    frame = Frame.resize(original=(20, 20), model=(16, 16))
    values = np.ones((4, 4), np.float32)
    values[1, 2] = np.nan
    assert np.isnan(on_original(values, frame)).any()
