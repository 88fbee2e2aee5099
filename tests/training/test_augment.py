"""Random changes keep boxes on their objects."""

import numpy as np
import pytest

from xiqa.training.augment import affine_boxes, affine_matrix, augment, warp
from xiqa.training.recipe import Augmentation
from xiqa.types import Box


@pytest.mark.parametrize("seed", range(6))
def test_boxes_move_with_the_pixels(seed):
    pixels = np.zeros((80, 100), dtype=np.float32)
    box = Box(40, 30, 51, 45)
    pixels[30:46, 40:52] = 1
    options = Augmentation(rotate=10, scale=0.2, translate=0.1, flip=0.5)
    matrix = affine_matrix((80, 100), (64, 64), options, np.random.default_rng(seed))
    moved = affine_boxes([box], matrix)[0]
    rows, columns = np.nonzero(warp(pixels, matrix, (64, 64)) > 0.5)
    found = (columns.min(), rows.min(), columns.max(), rows.max())
    np.testing.assert_allclose(moved, found, atol=1.0)


def test_without_options_it_is_the_resize_of_the_frame():
    matrix = affine_matrix((80, 80), (40, 40), None, np.random.default_rng(0))
    assert affine_boxes([Box(0.5, 0.5, 78.5, 78.5)], matrix)[0] == pytest.approx((0, 0, 39, 39))


def test_grey_values_stay_in_range_and_no_change_changes_nothing():
    pixels = np.random.default_rng(0).uniform(0, 1, (32, 32)).astype(np.float32)
    wild = augment(pixels, Augmentation(contrast=0.9, brightness=0.5, noise=0.5), np.random.default_rng(1))
    assert wild.dtype == np.float32
    assert 0 <= wild.min() < wild.max() <= 1
    same = augment(pixels, Augmentation(contrast=0, brightness=0, noise=0), np.random.default_rng(1))
    np.testing.assert_allclose(same, pixels, atol=1e-6)
