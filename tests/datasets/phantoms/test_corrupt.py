import numpy as np
import pytest
from scipy.ndimage import laplace

from xiqa.errors import ConfigError
from xiqa.simulation.cardiac import simulate_cardiac
from xiqa.simulation.corrupt import CORRUPTIONS, corrupt
from xiqa.types import Image

SLICE = simulate_cardiac(1, size=(128, 128), noise=0.005).image


@pytest.mark.parametrize("problem", CORRUPTIONS)
def test_degree_zero_changes_nothing_and_more_is_worse(problem):
    assert corrupt(SLICE, problem, 0.0) is SLICE
    distance = [
        np.abs(corrupt(SLICE, problem, degree, seed=3).pixels - SLICE.pixels).mean()
        for degree in (0.25, 0.5, 1.0)
    ]
    assert 0 < distance[0] < distance[1] < distance[2]


@pytest.mark.parametrize("problem", CORRUPTIONS)
def test_result_is_a_seeded_image_in_range(problem):
    one, same = (corrupt(SLICE, problem, 0.7, seed=9) for _ in range(2))
    assert np.array_equal(one.pixels, same.pixels)
    assert one.pixels.dtype == np.float32
    assert one.pixels.min() >= 0
    assert one.pixels.max() <= 1
    assert problem in one.source.notes[-1]


def test_blur_takes_detail_noise_adds_it():
    detail = laplace(SLICE.pixels).std()
    assert laplace(corrupt(SLICE, "motion_blur", 1).pixels).std() < 0.5 * detail
    assert laplace(corrupt(SLICE, "noise", 1).pixels).std() > 2 * detail


def test_motion_blur_spreads_a_point_over_a_line_and_keeps_its_sum():
    point = np.zeros((101, 101), np.float32)
    point[50, 50] = 1
    blurred = corrupt(Image(point), "motion_blur", 1.0, seed=2).pixels
    assert blurred.sum() == pytest.approx(1, rel=1e-5)
    rows, columns = np.nonzero(blurred > 1e-3)
    assert 3 <= np.hypot(np.ptp(rows), np.ptp(columns)) <= 0.05 * 101 + 2


def test_exposures_go_opposite_ways():
    under, over = (corrupt(SLICE, p, 0.8).pixels.mean() for p in ("underexposure", "overexposure"))
    assert over < SLICE.pixels.mean() < under


def test_wrong_requests_are_refused():
    with pytest.raises(ConfigError, match="unknown problem"):
        corrupt(SLICE, "coffee", 0.5)
    with pytest.raises(ConfigError, match="0 to 1"):
        corrupt(SLICE, "noise", 1.5)
    with pytest.raises(ConfigError, match="grey"):
        corrupt(Image(np.zeros((4, 4, 3), np.float32)), "noise", 0.5)
