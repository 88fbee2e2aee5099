"""EVET's transforms: geometric ones are undone on maps, intensity ones refer to the image's own range."""

import pytest
import torch
from scipy.ndimage import rotate, shift

from xiqa.errors import SaliencyError
from xiqa.saliency.wrappers.transforms import GEOMETRIC, INTENSITY, transform


def blob(rows=41, columns=61, at=(24, 38), width=5.0):
    y, x = torch.arange(rows).double()[:, None], torch.arange(columns).double()[None]
    return torch.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * width**2))[None, None]


@pytest.mark.parametrize("name", GEOMETRIC)
def test_undoing_a_geometric_transform_brings_a_map_back(name):
    one = transform(name)
    image = blob()
    moved = one.apply(image)
    assert (moved - image).abs().max() > 0.1
    back = one.undo(moved)
    assert (back - image).abs().max() < 0.02  # twice interpolated
    assert back.flatten().argmax() == image.flatten().argmax()


def test_a_turn_and_a_shift_agree_with_scipy():
    image = blob()
    left = GEOMETRIC["rotate_left"].apply(image)[0, 0].numpy()
    witness = rotate(image[0, 0].numpy(), 10, reshape=False, order=1)
    assert abs(left - witness).max() < 0.02
    right = GEOMETRIC["shift_right"].apply(image)[0, 0].numpy()
    assert abs(right - shift(image[0, 0].numpy(), (0, 0.05 * 61), order=1)).max() < 0.02


@pytest.mark.parametrize("name", INTENSITY)
def test_intensity_transforms_mean_the_same_whatever_the_inputs_range(name):
    image = torch.rand(2, 3, 16, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one = transform(name)
    torch.testing.assert_close(one.apply(4 * image - 7), 4 * one.apply(image) - 7)
    torch.testing.assert_close(one.apply(image)[1:], one.apply(image[1:]))
    assert one.undo(image) is image
    assert (one.apply(image) - image).abs().max() > 1e-3


def test_equalised_values_are_spread_evenly():
    image = torch.rand(1, 1, 40, 50, generator=torch.Generator().manual_seed(0)) ** 4
    flat = INTENSITY["equalise"].apply(image)
    shares = torch.histc((flat - flat.min()) / (flat.max() - flat.min()), 10) / 2000
    assert shares.sub(0.1).abs().max() < 0.01


@pytest.mark.parametrize("name", [*GEOMETRIC, *INTENSITY])
def test_survives_constant_and_tiny_images(name):
    for image in (torch.ones(1, 1, 8, 8), torch.rand(1, 3, 1, 1)):
        assert transform(name).apply(image).isfinite().all()


def test_an_unknown_name_is_told():
    with pytest.raises(SaliencyError, match="hflip"):
        transform("mirror")
