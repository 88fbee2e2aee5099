import numpy as np
import pytest

from xiqa.errors import ConfigError
from xiqa.simulation.cardiac import simulate_cardiac
from xiqa.simulation.cardiac.acquisition import acquire, coil_shading, limit_resolution
from xiqa.simulation.cardiac.anatomy import contraction

SMALL = (96, 96)


@pytest.fixture(scope="module")
def slices():
    return [simulate_cardiac(seed, size=SMALL) for seed in range(120)]


def test_same_seed_same_slice_other_seed_another():
    a, b, c = (simulate_cardiac(seed, size=SMALL).image.pixels for seed in (5, 5, 6))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_label_follows_the_tilt_and_mask_fits_box():
    for seed in range(10):
        without, with_ = (simulate_cardiac(seed, tilt=tilt, size=SMALL) for tilt in (0, 13))
        assert (without.label, with_.label) == (0, 1)
        assert without.annotations == ()
        (annotation,) = with_.annotations
        rows, columns = np.nonzero(annotation.mask)
        assert annotation.box == (columns.min(), rows.min(), columns.max(), rows.max())


def test_tract_is_blood_between_ventricle_and_aorta():
    phantom = simulate_cardiac(2, tilt=13, phase=0.0, noise=0.001, shading=0.0)
    inside = phantom.image.pixels[phantom.annotations[0].mask]
    assert np.median(inside) > 1.5 * np.median(phantom.image.pixels)


def test_heart_beats_in_a_chest_that_stays():
    """The blood pool shrinks in systole; pixels far from the heart are the same but for nothing."""
    diastole, systole = (
        simulate_cardiac(4, tilt=0, phase=phase, noise=1e-4, shading=0.0).image.pixels for phase in (0, 0.4)
    )
    changed = np.abs(diastole - systole) > 0.05
    assert 0.01 < changed.mean() < 0.25
    assert contraction(0.0) == contraction(1.0) == 0


def test_background_is_rayleigh():
    """Without signal a Rice distribution is Rayleigh's: mean sigma sqrt(pi/2), mean square 2 sigma^2."""
    air = acquire(np.zeros((256, 256)), np.random.default_rng(0), noise=0.04, shading=0.5, fraction=(1, 1))
    assert air.mean() == pytest.approx(0.04 * np.sqrt(np.pi / 2), rel=0.01)
    assert (air**2).mean() == pytest.approx(2 * 0.04**2, rel=0.02)


def test_strong_signal_is_nearly_gaussian_around_the_signal():
    magnitude = acquire(
        np.ones((256, 256)), np.random.default_rng(0), noise=0.02, shading=0.0, fraction=(1, 1)
    )
    assert magnitude.mean() == pytest.approx(np.sqrt(1 + 0.02**2), rel=1e-3)
    assert magnitude.std() == pytest.approx(0.02, rel=0.02)


def test_shading_is_smooth_positive_and_mean_one():
    field = coil_shading((64, 80), np.random.default_rng(1), 0.9)
    assert field.min() > 0
    assert field.mean() == pytest.approx(1)
    assert np.abs(np.diff(field, axis=0)).max() < 0.2


def test_limited_resolution_keeps_the_mean_and_removes_detail():
    checker = (np.indices((32, 32)).sum(0) % 2).astype(float)
    assert np.abs(limit_resolution(checker, (0.5, 0.5)) - 0.5).max() < 1e-9


def test_neither_brightness_nor_place_tells_the_label(slices):
    label = np.array([s.label for s in slices])
    mean = np.array([s.image.pixels.mean() for s in slices])
    positive, negative = mean[label == 1], mean[label == 0]
    auc = (positive[:, None] > negative[None]).mean()
    assert 0.35 < auc < 0.65
    boxes = [s.annotations[0].box for s in slices if s.label]
    x, y = (SMALL[1] - 1) / 2, (SMALL[0] - 1) / 2
    assert np.mean([b.x0 <= x <= b.x1 and b.y0 <= y <= b.y1 for b in boxes]) < 0.3
    middle = np.array([b.centre for b in boxes])
    assert (middle.std(axis=0) > 0.12 * np.array(SMALL)).all()


def test_frames_of_a_cine_share_their_shading_but_not_their_noise():
    one, other = (
        simulate_cardiac(6, tilt=0, phase=phase, size=SMALL, noise=0.03).image.pixels for phase in (0.0, 1e-3)
    )
    difference = one - other
    corner = difference[:8, :8]
    assert 0 < np.abs(corner).mean() < 0.1
    assert np.abs(difference.mean()) < 1e-3


def test_bad_parameters_are_refused():
    with pytest.raises(ConfigError, match="at least 32"):
        simulate_cardiac(0, size=(16, 64))
    with pytest.raises(ConfigError, match="tilt"):
        simulate_cardiac(0, tilt=40)
