"""The network behind one layer: the same logits as whole forward passes, without running what lies before."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.saliency.cams.pooledhead import pooled_head
from xiqa.saliency.tail import Tail


def long_way(network, layer, image, features):
    """One whole forward pass a feature map, with a hook that replaces the layer's output."""
    logits = []
    for feature in features:
        handle = network.get_submodule(layer).register_forward_hook(lambda *_, f=feature: f[None].clone())
        with torch.no_grad():
            logits.append(network(image))
        handle.remove()
    return torch.cat(logits)


class Skips(nn.Module):
    """Functional and in-place activations, a module used twice, and a connection around the layer."""

    def __init__(self):
        super().__init__()
        self.stem, self.layer, self.late = (nn.Conv2d(n, 8, 3, padding=1) for n in (1, 8, 8))
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.relu(self.stem(x))
        y = F.relu(self.layer(x), inplace=True)
        y = self.relu(self.late(y))
        y += x
        return self.head(y.mean(dim=(2, 3)))


class ChangedInPlace(nn.Module):
    """Overwrites a kept output behind the layer, so that a naive replay would start from another value."""

    def __init__(self):
        super().__init__()
        self.stem, self.layer = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.stem(x)
        y = self.layer(x)
        x.add_(1)
        return self.head((x * y).mean(dim=(2, 3)))


class Reused(nn.Module):
    """Calls the layer twice; its last output counts."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(1, 2)

    def forward(self, x):
        return self.head(self.layer(torch.tanh(self.layer(x))).mean(dim=(2, 3)))


class ByBatch(nn.Module):
    """Goes another way for more than one image (dynamic control flow)."""

    def __init__(self):
        super().__init__()
        self.one, self.more = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1)
        self.more.load_state_dict(self.one.state_dict())
        self.layer, self.head = nn.Conv2d(2, 2, 1), nn.Linear(2, 2)

    def forward(self, x):
        x = self.one(x) if len(x) == 1 else self.more(x)
        return self.head(self.layer(x).mean(dim=(2, 3)))


@pytest.mark.parametrize(
    ("network", "replays"), [(Skips, True), (ChangedInPlace, False), (Reused, True), (ByBatch, False)]
)
def test_gives_the_logits_of_whole_passes(network, replays):
    torch.manual_seed(0)
    network = network().eval()
    image = torch.randn(1, 1, 7, 5)
    tail = Tail(network, "layer", image, chunk=2)
    features = torch.randn(5, *tail.features.shape[1:])
    assert tail.replays is replays
    torch.testing.assert_close(tail(features), long_way(network, "layer", image, features))
    torch.testing.assert_close(tail(tail.features), network(image))


def test_runs_what_lies_before_the_layer_once():
    calls = []

    class Counted(nn.Conv2d):
        def forward(self, x):
            calls.append(len(x))
            return super().forward(x)

    network = Skips().eval()
    network.stem = Counted(1, 8, 3, padding=1)
    tail = Tail(network, "layer", torch.randn(1, 1, 6, 6), chunk=1)
    tail(torch.randn(9, 8, 6, 6))
    assert calls == [1]


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("resnet18", "layer3.1.conv1", 64),
        ("efficientnet_b0", "blocks.5.0", 64),
        ("vgg16_bn", "features.40", 32),
        ("densenet121", "features.denseblock4.denselayer3", 64),
        ("convnext_tiny", "stages.3.blocks.1", 64),
        ("vit_small_patch16_224", "blocks.10", 224),
        ("vit_small_patch16_224", "blocks.11.norm1", 224),
    ],
)
def test_works_on_real_networks(name, layer, size):
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=3).eval()
    image = torch.randn(1, 3, size, size)
    tail = Tail(network, layer, image)
    features = tail.features + torch.randn(3, *tail.features.shape[1:]) * tail.features.std()
    assert tail.replays
    expected = long_way(network, layer, image, features)
    torch.testing.assert_close(tail(features), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_leaves_the_network_as_it_was_also_when_it_raises():
    network = Skips().eval()
    tail = Tail(network, "layer", torch.randn(1, 1, 6, 6))
    with pytest.raises(RuntimeError):
        tail(torch.randn(2, 7, 6, 6))
    assert all("forward" not in vars(module) for module in network.modules())
    network.layer.forward = forward = network.layer.forward
    Tail(network, "layer", torch.randn(1, 1, 6, 6))
    assert network.layer.forward is forward


def test_says_when_a_layer_cannot_be_masked():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten())
    network.unused = nn.Identity()
    network.forward = lambda x: network[1](network[0](x))
    with pytest.raises(SaliencyError, match="no call"):
        Tail(network, "unused", torch.randn(1, 1, 2, 2))


@pytest.mark.parametrize(("name", "layer"), [("resnet18", "layer4"), ("efficientnet_b0", "bn2")])
def test_finds_a_pooled_linear_head_and_its_masked_logits(name, layer):
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=3).eval().double()
    image = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    tail = Tail(network, layer, image)
    head = pooled_head(tail)
    assert head is not None
    channels = torch.arange(8)
    ablated = tail.features.repeat(8, 1, 1, 1)
    ablated[channels, channels] = 0
    torch.testing.assert_close(head.without_channels(tail.features)[:8], tail(ablated))
    masks = torch.rand(4, *tail.features.shape[2:], dtype=torch.float64)
    torch.testing.assert_close(head.under_masks(tail.features, masks), tail(tail.features * masks[:, None]))


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet18", "layer3"), ("convnext_tiny", "stages.3"), ("densenet121", "features.denseblock4")],
)
def test_finds_no_pooled_linear_head_where_there_is_none(name, layer):
    network = timm.create_model(name, num_classes=3).eval()
    assert pooled_head(Tail(network, layer, torch.randn(1, 3, 64, 64))) is None
