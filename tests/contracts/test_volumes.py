"""What every method that declares volumes keeps: the images' map at depth 1, batches, and typed refusals."""

import numpy as np
import pytest
import torch
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.models.layers import TargetLayers
from xiqa.saliency.combine import COMBINATIONS
from xiqa.saliency.engine import attribute, explain
from xiqa.saliency.registry import Kind, methods

LAYERS = TargetLayers("second", ("first", "second"))
QUICK = {
    "normgrad_bias": ":layers=first",  # constant at the last layer of a pooled head
    "rise": ":masks=40,grid=3",
    "smoothgrad": ":samples=4",
    "smoothgradcampp": ":samples=3",
    "sscam": ":samples=2",
    "iscam": ":steps=3",
    "integratedgradcam": ":steps=4",
    "integratedgradients": ":steps=8,tolerance=1e9",
}
VOLUMES = [f"{info.name}{QUICK.get(info.name, '')}" for info in methods() if 3 in info.dims]
IMAGES_ONLY = [info.name for info in methods() if 3 not in info.dims and info.kind is not Kind.WRAPPER]
# its random grids have an axis more
SAME_AT_DEPTH_1 = [text for text in VOLUMES if not text.startswith("rise")]


class Net(nn.Module):
    """Two convolutions, a pooling and a linear layer, for images or volumes."""

    def __init__(self, conv, pool, kernel=3, stride=2):
        super().__init__()
        padding = tuple(side // 2 for side in kernel) if isinstance(kernel, tuple) else kernel // 2
        self.first = nn.Sequential(conv(2, 4, kernel, padding=padding), nn.ReLU(), pool(stride))
        self.second = nn.Sequential(conv(4, 5, kernel, padding=padding), nn.ReLU())
        self.head = nn.Linear(5, 3)

    def forward(self, images):
        return self.head(self.second(self.first(images)).flatten(2).mean(dim=2))


@pytest.fixture(scope="module")
def pair():
    """A network of images, and the same function of volumes of one slice."""
    torch.manual_seed(1)
    flat = Net(nn.Conv2d, nn.MaxPool2d).double().eval()
    deep = Net(nn.Conv3d, nn.MaxPool3d, (1, 3, 3), (1, 2, 2)).double().eval()
    state = {name: w[:, :, None] if w.dim() == 4 else w for name, w in flat.state_dict().items()}
    deep.load_state_dict(state)
    return flat, deep


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(2)
    return Net(nn.Conv3d, nn.MaxPool3d).double().eval()


@pytest.fixture(scope="module")
def volumes():
    return torch.randn(3, 2, 6, 10, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def maps(network, images, text, **asked):
    found = attribute(network, images, text, target=asked.pop("target", 1), layers=LAYERS, **asked)
    return next(iter(found.values()))


def test_enough_methods_declare_volumes():
    assert len(VOLUMES) >= 30
    assert {"normgrad_conv3x3", "gradcam", "fem", "lrp_epsilon", "deeplift", "occlusion", "rise"} <= {
        text.partition(":")[0] for text in VOLUMES
    }


@pytest.mark.parametrize("text", SAME_AT_DEPTH_1)
def test_at_depth_1_the_map_is_that_of_the_image(pair, volumes, text):
    flat, deep = pair
    images = volumes[:, :, 2]
    expected = maps(flat, images, text)
    found = maps(deep, images[:, :, None], text)
    assert found.shape == (3, 1, *expected.shape[1:])
    assert float(expected.std()) > 0
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("text", VOLUMES)
def test_a_batch_is_its_volumes_one_by_one(network, volumes, text):
    target = torch.tensor([0, 2, 1])
    together = maps(network, volumes, text, target=target)
    assert together.shape[0] == 3
    assert together.dim() == 4
    for place in range(3):
        alone = maps(network, volumes[place : place + 1], text, target=target[place : place + 1])
        torch.testing.assert_close(together[place], alone[0], rtol=1e-5, atol=1e-8)
    assert not torch.allclose(together[0], together[1])


@pytest.mark.parametrize("name", IMAGES_ONLY)
def test_what_does_not_declare_volumes_refuses_them(network, volumes, name):
    with pytest.raises(SaliencyError, match=r"not defined for volumes.*normgrad_conv3x3"):
        maps(network, volumes, name)


@pytest.mark.parametrize("how", COMBINATIONS)
def test_layers_of_a_volume_combine(pair, volumes, how):
    flat, deep = pair
    text = f"normgrad_conv1x1:combine={how},layers=multi"
    expected = maps(flat, volumes[:, :, 2], text)
    found = maps(deep, volumes[:, :, 2:3], text)
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-9, atol=1e-12)


def test_a_volume_that_is_not_finite_spoils_no_neighbour(network, volumes):
    broken = volumes.clone()
    broken[1, 0, 3, 4, 5] = torch.nan
    found = maps(network, broken, "gradcam")
    assert found[1].isnan().all()
    torch.testing.assert_close(found[[0, 2]], maps(network, volumes, "gradcam")[[0, 2]])


def test_a_map_of_a_volume_travels(network, volumes):
    (first, *_) = explain(network, volumes, "fem", target=0, layers=LAYERS)["fem"]
    assert first.values.shape == (3, 5, 4)
    assert first.input_size == (6, 10, 8)
    again = type(first).from_dict(first.to_dict())
    np.testing.assert_array_equal(again.values, first.values)
    assert again.input_size == first.input_size


class Turned(nn.Module):
    """Puts the channels last, as video transformers do."""

    def forward(self, features):
        return features.permute(0, 2, 3, 4, 1)


class Back(nn.Module):
    def forward(self, features):
        return features.permute(0, 4, 1, 2, 3)


@pytest.mark.parametrize("channels", [4, 40])
def test_channels_that_come_last_are_found(channels):
    torch.manual_seed(0)
    conv = nn.Conv3d(2, channels, 3, padding=1)
    plain = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(channels, 2))
    turned = nn.Sequential(plain[0], plain[1], Turned(), Back(), *plain[2:])
    images = torch.randn(2, 2, 6, 8, 7)
    for name in ("gradcam", "normgrad_conv3x3"):
        expected = attribute(plain, images, name, target=0, layers=TargetLayers("1", ("1",)))[name]
        found = attribute(turned, images, name, target=0, layers=TargetLayers("2", ("2",)))[name]
        torch.testing.assert_close(found, expected)


def test_a_layer_without_places_is_refused(network, volumes):
    with pytest.raises(SaliencyError, match="no places to explain"):
        attribute(network, volumes, "gradcam:layers=head", target=0)
