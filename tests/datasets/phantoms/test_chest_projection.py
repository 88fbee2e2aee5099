"""The arithmetic of the projection against loops, closed forms and other libraries."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.reference import projection as loops

from xiqa.simulation.chest.body import draw_body
from xiqa.simulation.chest.bones import bone_paths
from xiqa.simulation.chest.detector import Exposure, expose
from xiqa.simulation.chest.grid import Grid, enlarge, smooth, splat, texture
from xiqa.simulation.chest.pen import ATTENUATION, Pen
from xiqa.simulation.chest.solids import ellipsoid, rod
from xiqa.simulation.chest.vessels import vessel_paths

RNG = np.random.default_rng(0)


def axes(size=200, spacing=1.0):
    middle = (size - 1) / 2
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    return (x - middle) * np.float32(spacing), (y - middle) * np.float32(spacing)


def test_splat_is_the_loop():
    x, y = RNG.uniform(-2, 12, 300), RNG.uniform(-2, 9, 300)
    weight = RNG.uniform(0, 3, 300)
    ours = splat((8, 11), *(part.astype(np.float32) for part in (x, y, weight)))
    assert ours == pytest.approx(loops.splat((8, 11), x, y, weight), abs=1e-4)


def test_matter_inside_the_image_is_kept():
    grid = Grid((400, 400), 0.5, tilt=0.1, shift=(3.0, -4.0))
    x, y = RNG.uniform(-60, 60, (2, 5000)).astype(np.float32)
    volume = RNG.uniform(0, 2, 5000).astype(np.float32)
    laid = grid.deposit(x, y, volume)
    assert laid.sum() * grid.work_spacing**2 == pytest.approx(volume.sum(), rel=1e-4)


def test_smooth_is_a_gaussian():
    values = gaussian_filter(RNG.standard_normal((90, 70)), 1).astype(np.float32)
    for sigma in (3.0, 9.0):
        inner = (slice(27, -27), slice(20, -20))
        assert (
            np.abs(smooth(values, sigma) - gaussian_filter(values, sigma))[inner].max() < 0.02 * values.std()
        )
    at_corner = loops.gaussian_mean(values, 9.0, 0, 0)
    assert smooth(values, 9.0)[0, 0] == pytest.approx(at_corner, abs=0.02 * float(values.std()))


def test_enlarging_keeps_straight_slopes_and_places():
    grid = Grid((400, 360), 0.7, tilt=0.03, shift=(5.0, 2.0))
    x, _ = grid.patient_axes()
    rows, columns = np.mgrid[0:400, 0:360]
    full = enlarge(x, grid)
    image_x, image_y = grid.to_image(
        full[50:-50:30, 50:-50:30], enlarge(grid.patient_axes()[1], grid)[50:-50:30, 50:-50:30]
    )
    assert image_x == pytest.approx(columns[50:-50:30, 50:-50:30], abs=0.01)
    assert image_y == pytest.approx(rows[50:-50:30, 50:-50:30], abs=0.01)


def test_ellipsoid_and_rod_have_their_volumes():
    x, y = axes()
    ball = ellipsoid(x, y, (4, -3), (40, 25, 30), 0.4)
    assert ball.sum() == pytest.approx(4 / 3 * np.pi * 40 * 25 * 30, rel=2e-3)
    assert ball.max() == pytest.approx(60, rel=1e-3)
    tube = rod(x, y, (-50, 0), (50, 0), (12, 12))
    middle = tube[:, 80:120].sum() / 40
    assert middle == pytest.approx(np.pi * 12**2, rel=1e-2)


def test_anatomy_does_not_depend_on_resolution():
    """Total bone and blood are the same on a coarse and a fine image: matter, not pixels, is projected."""
    body = draw_body(np.random.default_rng(4))
    for paths in (bone_paths, vessel_paths):
        totals = []
        for pixels in (160, 600):
            grid = Grid((pixels, pixels), 400 / pixels)
            totals.append(paths(body, grid, np.random.default_rng(1)).sum() * grid.work_spacing**2)
        assert totals[0] == pytest.approx(totals[1], rel=0.05)


def test_disc_ring_and_bar_have_their_areas():
    for draw, area in (
        (lambda pen: pen.disc((1, 2), 9, "steel", 1.0), np.pi * 81),
        (lambda pen: pen.ring((0, 0), 10, 6, "steel", 1.0), np.pi * (100 - 36)),
        (lambda pen: pen.bar((0, 0), (12, 5), "steel", 1.0, corner=0.0, turn=0.3), 240),
    ):
        pen = Pen((200, 200), 0.25, origin=(100.3, 99.6), angle=0.7)
        draw(pen)
        assert pen.mask.sum() * 0.25**2 == pytest.approx(area, rel=0.01)
        assert pen.attenuation.sum() * 0.25**2 == pytest.approx(area * ATTENUATION["steel"], rel=0.01)


@pytest.mark.parametrize("radius", [0.1, 0.4, 2.0])
def test_a_wire_keeps_its_section_however_thin(radius):
    pen = Pen((120, 400), 0.5)
    pen.wire([(20, 31.3), (180, 29.1)], radius, "copper")
    across = pen.attenuation[:, 150:250].sum(0).mean() * 0.5
    assert across == pytest.approx(np.pi * radius**2 * ATTENUATION["copper"], rel=0.06)


def test_a_tube_is_hollow():
    pen = Pen((60, 200), 0.5)
    pen.wire([(10, 15), (90, 15)], 3.0, "rubber", bore=2.0)
    across = pen.attenuation[:, 80:120].sum(0).mean() * 0.5
    assert across == pytest.approx(np.pi * (9 - 4) * ATTENUATION["rubber"], rel=0.03)
    profile = pen.attenuation[:, 100]
    assert profile[30] < profile.max()


@pytest.mark.parametrize("reach", [12, 90], ids=["all segments at once", "segment by segment"])
def test_a_wire_covers_what_the_loop_says(reach):
    course = np.array([(3.2, 4.1), (0.4 * reach, 9.7), (0.9 * reach, 2.0), (reach, 11.5)])
    pen = Pen((16, reach + 4), 1.0)
    pen.wire(course, 1.3, "steel", in_pixels=True)
    assert np.array_equal(pen.mask, loops.distance_to_course((16, reach + 4), course) <= 1.3)


def test_pen_turns_and_scales():
    pen = Pen((100, 100), 0.5, origin=(40, 60), angle=np.pi / 2, scale=2.0)
    assert pen.to_image([(5, 0)]) == pytest.approx(np.array([[40, 80]]))
    assert pen.to_object(pen.to_image([(3, -7)])) == pytest.approx(np.array([[3, -7]]))


def plain(**changes):
    values = {
        "scatter": 0.0,
        "photons": 1e12,
        "blur": 0.01,
        "detail": 1.0,
        "edges": 0.0,
        "dark": 0.4,
        "bright": 0.8,
        "toe": 0.0,
    }
    return Exposure(**(values | changes))


def halves(size=64):
    attenuation = np.full((size, size), 2.0, np.float32)
    attenuation[:, size // 2 :] = 4.0
    lungs = np.zeros((size, size), bool)
    lungs[:, : size // 4] = True
    return attenuation, lungs, lungs[:, ::-1]


def test_image_is_a_sigmoid_of_attenuation_and_puts_the_window_where_asked():
    attenuation, lungs, solid = halves()
    image = expose(
        attenuation, np.zeros_like(attenuation), lungs, solid, plain(), 40.0, np.random.default_rng(0)
    )
    assert image[:, :10].mean() == pytest.approx(0.4, abs=0.01)
    assert image[:, -10:].mean() == pytest.approx(0.8, abs=0.01)
    steps = np.tile(np.linspace(1.5, 4.5, 64, dtype=np.float32), (64, 1))
    image = expose(steps, np.zeros_like(steps), lungs, solid, plain(), 40.0, np.random.default_rng(0))
    slopes = np.diff(np.log(image / (1 - image)), axis=1)
    assert slopes == pytest.approx(slopes.mean(), rel=0.02)


def test_scatter_takes_contrast_away():
    attenuation, lungs, solid = halves()
    object_ = np.zeros_like(attenuation)
    object_[30:34, 50:54] = 1.0
    contrast = []
    for scatter in (0.0, 0.4):
        image = expose(
            attenuation, object_, lungs, solid, plain(scatter=scatter), 5.0, np.random.default_rng(0)
        )
        contrast.append(image[31:33, 51:53].mean() - image[31:33, 58:62].mean())
    assert contrast[1] < 0.8 * contrast[0]


def test_noise_follows_the_photons():
    """A count's relative deviation is one over its square root, and so is its logarithm's deviation."""
    flat = np.full((256, 256), -np.log(0.1), np.float32)
    image = expose(
        flat, np.zeros_like(flat), flat > 0, flat > 9, plain(photons=400.0), 100.0, np.random.default_rng(0)
    )
    slope = np.diff(np.log([0.4 / 0.6, 0.8 / 0.2]))[0] / 0.3  # the least contrast that the window allows
    logit = np.log(image / (1 - image)) / slope
    assert logit.std() == pytest.approx(1 / np.sqrt(400), rel=0.03)


def test_texture_windows_have_unit_variance_and_differ():
    first, second = (texture((300, 200), np.random.default_rng(seed), 0.0) for seed in (1, 2))
    assert first.std() == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05
