"""Other scanners, marks and views: what must not count, and what must be named."""

import numpy as np
import pytest
import torch

from xiqa.models.views.check import VIEWS, ViewCheck, likeliest_other
from xiqa.models.views.network import ViewNet
from xiqa.simulation.chest import Scenario, insert_objects, simulate_chest
from xiqa.simulation.chest.groups import REMOVABLE
from xiqa.simulation.chest.implants import DEVICES
from xiqa.training.inscriptions import inscribe
from xiqa.training.scanner import STEPS, change_scanner
from xiqa.training.views.fit import fit_views, small
from xiqa.training.views.pictures import draw_view, thumbnail


@pytest.fixture(scope="module")
def chests():
    clean = Scenario(count="none", implant=False)
    return [simulate_chest(seed, size=(128, 160), objects=clean).image for seed in range(6)]


@pytest.mark.parametrize("step", [step for _, step in STEPS])
def test_each_step_changes_a_picture_and_keeps_its_size(step, chests):
    before = chests[0].pixels
    after = step(before, np.random.default_rng(3))
    assert after.shape == before.shape
    assert np.isfinite(after).all()
    assert np.abs(after - before).max() > 1e-3


def test_a_changed_scanner_repeats_by_its_seed_and_does_nothing_at_strength_zero(chests):
    before = chests[0].pixels
    first, again = (change_scanner(before, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.min() >= 0
    assert first.max() <= 1
    np.testing.assert_array_equal(change_scanner(before, np.random.default_rng(5), 0.0), before)


def test_marks_cover_a_little_and_leave_the_rest_to_the_bit(chests):
    before = chests[0].pixels
    shares = [(inscribe(before, np.random.default_rng(seed)) != before).mean() for seed in range(20)]
    assert 0 < np.mean(shares) < 0.2


@pytest.mark.parametrize("device", DEVICES)
def test_devices_are_seen_and_no_reason_to_repeat(device, chests):
    scenario = Scenario(count="none", implant=True, devices=(device,))
    phantom = insert_objects(chests[1], 4, objects=scenario)
    assert phantom.label == 0
    assert phantom.annotations
    assert not any(annotation.problem or REMOVABLE in annotation.groups for annotation in phantom.annotations)
    assert np.abs(phantom.image.pixels - chests[1].pixels).max() > 0.02


def test_a_thumbnail_keeps_the_aspect_in_the_middle():
    pixels = np.ones((20, 10), dtype=np.float32)
    square = thumbnail(pixels, 16)
    assert square.shape == (16, 16)
    assert square[:, 4:12].min() == 1
    assert square[:, :4].max() == square[:, 12:].max() == 0


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_drawn_and_repeats_by_its_seed(view, chests):
    films = [small(image.pixels) for image in chests]
    first, again = (draw_view(view, films, [], 64, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (64, 64)
    assert 0 <= first.min() <= first.max() <= 1


def test_thumbnails_do_not_see_brightness_contrast_or_fine_texture():
    rng = np.random.default_rng(0)
    wide = torch.from_numpy(np.kron(rng.random((64, 64)), np.ones((8, 8)))).float()[None, None]
    fine = torch.from_numpy(np.tile([[0.1, -0.1], [-0.1, 0.1]], (256, 256))).float()
    network = ViewNet()
    plain = network.thumbnails(wide.expand(1, 3, 512, 512))
    torch.testing.assert_close(network.thumbnails(wide + fine), plain, atol=1e-4, rtol=0)
    torch.testing.assert_close(network.thumbnails(wide + 3), plain, atol=1e-4, rtol=0)
    assert plain.mean().abs() < 1e-5
    expected = wide[0, 0, ::8, ::8]
    expected = (expected - expected.mean()) / (expected.std(correction=0) + 0.05)
    torch.testing.assert_close(plain[0, 0], expected, atol=1e-4, rtol=0)


def test_the_likeliest_other_view_is_named_and_a_nan_is_no_frontal_view():
    check = ViewCheck(limit=0.6)
    assert likeliest_other(check, [0.6, 0.1, 0.3, 0.0, 0.0, 0.0]) is None
    assert likeliest_other(check, [0.59, 0.1, 0.31, 0.0, 0.0, 0.0]) == "upside_down"
    assert likeliest_other(check, [float("nan")] * 6) is not None


@pytest.mark.long
def test_a_short_fit_tells_the_views_of_chests_it_has_not_seen(chests):
    films = [small(image.pixels) for image in chests]
    network = fit_views(films, [], pictures=1280, epochs=8)
    clean = Scenario(count="none", implant=False)
    held = [simulate_chest(seed, size=(128, 160), objects=clean).image.pixels for seed in range(40, 50)]
    turned = {
        "frontal": held,
        "inverted": [1 - film for film in held],
        "upside_down": [film[::-1] for film in held],
        "on_its_side": [np.rot90(film) for film in held],
    }
    for view, films in turned.items():
        batch = torch.from_numpy(np.stack([thumbnail(film, 64) for film in films]))[:, None]
        named = network.probabilities((batch - 0.5) / 0.5).argmax(1)
        assert (named == VIEWS.index(view)).float().mean() >= 0.8, view
