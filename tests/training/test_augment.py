"""Random changes keep boxes on their objects."""

import numpy as np
import pytest

from xiqa.geometry import Box
from xiqa.training.augment import affine_boxes, affine_matrix, augment, warp
from xiqa.training.recipe import Augmentation


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shear", [0, 10])
def test_boxes_move_with_the_pixels(seed, shear):
    pixels = np.zeros((80, 100), dtype=np.float32)
    box = Box(40, 30, 51, 45)
    pixels[30:46, 40:52] = 1
    options = Augmentation(rotate=10, scale=0.2, translate=0.1, shear=shear, flip=0.5, flip_vertical=0.5)
    matrix = affine_matrix((80, 100), (64, 64), options, np.random.default_rng(seed))
    moved = affine_boxes([box], matrix)[0]
    rows, columns = np.nonzero(warp(pixels, matrix, (64, 64)) > 0.5)
    found = (columns.min(), rows.min(), columns.max(), rows.max())
    np.testing.assert_allclose(moved, found, atol=1.0)


def test_without_options_it_is_the_resize_of_the_frame():
    matrix = affine_matrix((80, 80), (40, 40), None, np.random.default_rng(0))
    assert affine_boxes([Box(0.5, 0.5, 78.5, 78.5)], matrix)[0] == pytest.approx((0, 0, 39, 39))
    wide = affine_matrix((60, 90), (20, 45), None, np.random.default_rng(0))
    np.testing.assert_allclose(wide, [[2, 0, 0.5], [0, 3, 1]], atol=1e-12)


def test_grey_values_stay_in_range_and_no_change_changes_nothing():
    pixels = np.random.default_rng(0).uniform(0, 1, (32, 32)).astype(np.float32)
    wild = augment(pixels, Augmentation(contrast=0.9, brightness=0.5, noise=0.5), np.random.default_rng(1))
    assert wild.dtype == np.float32
    assert 0 <= wild.min() < wild.max() <= 1
    same = augment(pixels, Augmentation(contrast=0, brightness=0, noise=0), np.random.default_rng(1))
    np.testing.assert_allclose(same, pixels, atol=1e-6)


def test_what_is_not_asked_for_draws_no_numbers():
    """Options that came later leave the random numbers of older recipes as they were."""
    options = Augmentation(rotate=10, scale=0.2, translate=0.1, flip=0.5)
    rng, again = np.random.default_rng(4), np.random.default_rng(4)
    matrix = affine_matrix((80, 80), (80, 80), options, rng)
    angle, zoom = np.deg2rad(again.uniform(-10, 10)), np.exp(again.uniform(-1, 1) * np.log(1.2))
    shift, mirror = again.uniform(-0.1, 0.1, 2) * 80, again.random() < 0.5
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    linear = zoom * np.array(turn) * [-1 if mirror else 1, 1]
    np.testing.assert_allclose(matrix[:, :2], linear)
    np.testing.assert_allclose(matrix @ [39.5, 39.5, 1], 39.5 + shift)
    assert rng.random() == again.random()


def test_an_upside_down_image_and_a_sheared_one():
    still = {"rotate": 0, "scale": 0, "translate": 0}
    pixels = np.arange(64, dtype=np.float32).reshape(8, 8)
    turned = affine_matrix((8, 8), (8, 8), Augmentation(**still, flip_vertical=1), np.random.default_rng(0))
    np.testing.assert_allclose(warp(pixels, turned, (8, 8)), pixels[::-1], atol=1e-4)
    sheared = affine_matrix((8, 8), (8, 8), Augmentation(**still, shear=20), np.random.default_rng(0))
    assert abs(sheared[0, 1]) <= np.tan(np.deg2rad(20))
    np.testing.assert_allclose(sheared[[0, 1, 1], [0, 0, 1]], [1, 0, 1])
    assert sheared[0, 1] != 0
