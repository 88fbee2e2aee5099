"""Constant and non-finite images, one channel, non-square images, layers of one pixel."""

import pytest
import torch

from xiqa.errors import SaliencyError
from xiqa.models.layers import TargetLayers
from xiqa.saliency.peaks import find


def test_a_constant_image(make_tiny, explain):
    maps = explain(make_tiny(), torch.full((2, 3, 24, 24), 0.3, dtype=torch.float64), target=1)
    assert maps.isfinite().all()
    assert torch.equal(maps[0], maps[1])


def test_a_black_image(make_tiny, explain):
    assert explain(make_tiny(), torch.zeros(1, 3, 24, 24, dtype=torch.float64), target=1).isfinite().all()


def test_nan_points_nowhere_and_spoils_no_neighbour(make_tiny, small_images, explain):
    broken = small_images.clone()
    broken[1] = torch.nan
    expected = explain(make_tiny(), small_images, target=1)
    maps = explain(make_tiny(), broken, target=1)
    assert find(maps[1].float().numpy()) == ()
    assert torch.allclose(maps[::2], expected[::2], rtol=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(24, 40), (33, 16)])
def test_channels_and_sides(channels, size, make_tiny, explain):
    torch.manual_seed(3)
    batch = torch.randn(2, channels, *size, dtype=torch.float64)
    maps = explain(make_tiny(channels=channels), batch, target=1)
    assert maps.isfinite().all()
    ratio = maps.shape[1] * size[1] / (maps.shape[2] * size[0])
    assert maps.shape[1] == maps.shape[2] or 0.8 < ratio < 1.25


def test_a_layer_of_one_pixel(make_tiny, explain):
    torch.manual_seed(3)
    batch = torch.randn(2, 3, 3, 3, dtype=torch.float64)
    maps = explain(make_tiny(), batch, target=1, layers=TargetLayers("block2", ("block2",)))
    assert maps.isfinite().all()
    if maps.shape[1:] == (1, 1):
        assert find(maps[0].float().numpy()) == ()


def test_no_image_at_all(make_tiny, explain):
    with pytest.raises(SaliencyError, match="not a batch of images"):
        explain(make_tiny(), torch.zeros(0, 3, 24, 24, dtype=torch.float64))
