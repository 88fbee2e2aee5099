"""A probe gives what its network gives, however the images lie in memory."""

import pytest
import torch
from torch import nn

from xiqa.saliency import probe
from xiqa.saliency.incremental import incremental
from xiqa.saliency.probe import TorchProbe


@pytest.fixture(autouse=True)
def on_any_processor(monkeypatch):
    monkeypatch.setattr(probe, "_has_avx", lambda: True)


class Viewing(nn.Module):
    """A small network that notes how its images lie in memory, and may view its maps as vectors."""

    def __init__(self, channels=3, width=4, *, views=False):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.AdaptiveAvgPool2d(3),
        )
        self.last, self.views, self.last_channels = nn.Linear(9 * width, 2), views, []

    def forward(self, images):
        self.last_channels.append(images.stride(1) == 1)
        maps = self.layers(images)
        return self.last(maps.view(len(maps), -1) if self.views else maps.flatten(1))


def images(count, side, channels=3):
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("width", "last"), [(4, True), (64, False)])
def test_images_of_many_pixels_for_the_weights_have_their_channels_last(width, last, channels):
    network, given = Viewing(channels, width), images(1, 12, channels)
    strides, values = given.stride(), given.clone()
    found = TorchProbe(network)(given)
    assert network.last_channels == [last]
    assert given.stride() == strides
    assert torch.equal(given, values)
    with torch.inference_mode():
        assert torch.allclose(found, network(given), atol=1e-6)


def test_a_network_that_views_its_maps_as_vectors_is_asked_once():
    network, given = Viewing(views=True), images(16, 20)
    with torch.inference_mode():
        expected = network(given)
    for calls in ([True, False], [False]):
        network.last_channels.clear()
        assert torch.equal(TorchProbe(network)(given), expected)
        assert network.last_channels == calls


@pytest.mark.parametrize("views", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_windows_lie_in_memory_as_their_images(channels, views):
    network = Viewing(channels, views=views).double()
    given = images(1, 112, channels).double().repeat(9, 1, 1, 1)
    for number in range(1, 9):
        given[number:, :, 10 * number, 5 * number] += 1
    found = [incremental(TorchProbe(network))(given) for _ in range(2)]
    with torch.inference_mode():
        assert torch.allclose(torch.stack(found), network(given), rtol=1e-12, atol=1e-12)


def test_what_is_wrong_with_images_is_told_as_their_network_tells_it():
    network = Viewing()
    with pytest.raises(RuntimeError, match="to have 3 channels, but got 1 channels"):
        TorchProbe(network)(images(16, 20, channels=1))
    network.last_channels.clear()
    TorchProbe(network)(images(16, 20))
    assert network.last_channels == [True]
