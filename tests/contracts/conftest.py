"""Real networks, small and with logits that say something, and every registered method at a low price."""

from functools import cache

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.models.layers import TargetLayers
from xiqa.saliency.engine import attribute
from xiqa.saliency.registry import Method, Needs, methods

QUICK = ["test_resnet", "test_efficientnet"]
LONG = [
    "resnet18", "resnet34", "resnet50", "tf_efficientnet_lite0", "efficientnet_b0", "vgg16_bn",
    "densenet121", "densenet201", "convnext_tiny", "vit_small_patch16_224",
]  # fmt: skip

# What makes a method cheap enough for a test: parameters by name, wherever a method has one of that name.
CHEAP = {
    "samples": 4,
    "steps": 3,
    "masks": 8,
    "iterations": 2,
    "count": 6,
    "channels": 6,
    "regions": "grid",
    "window": 0.5,
    "stride": 0.25,
    "tolerance": 1e9,
    "transforms": ("hflip", "rotate_left", "contrast_up"),
    "scales": (1.0, 2.0),
}
CHEAP_HERE = {
    "sess": {"stride": 1.0},
    "onepixel": {"population": 8},
    "pgd": {"bisections": 1, "most": 0.1},
    "extremal": {"cells": 8},
}

# Where a method is not defined it says so.
UNDEFINED = {
    # Something other than pooling and one linear layer follows.
    ("cam", "vgg16_bn"),
    ("cam", "convnext_tiny"),
    ("cam", "vit_small_patch16_224"),
}


def cheap(info) -> Method:
    params = {key: value for key, value in CHEAP.items() if key in info.params}
    return Method(info.name, **params | CHEAP_HERE.get(info.name, {}))


# What has to be trained first keeps the same contracts in test_trained.py.
METHODS = {info.name: cheap(info) for info in methods() if Needs.TRAINED not in info.needs}


class Block(nn.Module):
    """Convolution, batch norm and an activation in one of the ways in which people write it."""

    def __init__(self, inputs: int, outputs: int, activation: str, shared: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.how = activation
        if activation in ("module", "inplace"):
            self.act = nn.ReLU(inplace=activation == "inplace")
        elif activation == "reused":
            self.act = shared

    def forward(self, images):
        features = self.norm(self.conv(images))
        if self.how == "functional":
            return F.relu(features)
        if self.how == "functional_inplace":
            return features.relu_()
        return self.act(features)


class Tiny(nn.Module):
    """Two blocks, average pooling, one linear layer."""

    def __init__(self, activation: str = "module", channels: int = 3, classes: int = 3) -> None:
        super().__init__()
        shared = nn.ReLU()
        self.block1 = Block(channels, 6, activation, shared)
        self.block2 = Block(6, 8, activation, shared)
        self.head = nn.Linear(8, classes)

    def forward(self, images):
        return self.head(self.block2(self.block1(images)).mean(dim=(2, 3)))


TINY_LAYERS = TargetLayers("block2", ("block1", "block2"))


@cache
def tiny(activation: str = "module", channels: int = 3, classes: int = 3) -> nn.Module:
    """The same weights whatever the activation is written like; do not change it, copy it."""
    torch.manual_seed(5)
    return calibrated(Tiny(activation, channels, classes), (24, 24), channels).double()


def calibrated(network: nn.Module, size=(64, 64), channels=3) -> nn.Module:
    """Batch norms measure random images, so that a random network's logits neither vanish nor explode."""
    torch.manual_seed(0)
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # a plain mean over the batches
        module.train()
    with torch.no_grad():
        for _ in range(3 if norms else 0):
            network(torch.randn(8, channels, *size))
    return network.eval()


@cache
def build(name: str) -> nn.Module:
    torch.manual_seed(1)
    if name == "vgg16_bn":  # with a small head: its own has a hundred million weights
        model = torchvision.models.vgg16_bn(weights=None)
        model.classifier = nn.Sequential(nn.Linear(512 * 7 * 7, 32), nn.ReLU(inplace=True), nn.Linear(32, 3))
    else:
        options = {"img_size": 64} if name.startswith("vit") else {}
        model = timm.create_model(name, num_classes=3, **options)
    return calibrated(model).double()


@pytest.fixture(
    params=[*QUICK, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)], scope="session"
)
def network(request) -> nn.Module:
    """A real network of three classes, in float64; shared, so leave it as it is."""
    model = build(request.param)
    model.test_name = request.param
    return model


@pytest.fixture(scope="session")
def make_tiny():
    return tiny


@pytest.fixture(params=sorted(METHODS))
def method(request) -> Method:
    return METHODS[request.param]


def noise(*shape: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return noise(2, 3, 64, 64)


@pytest.fixture(scope="session")
def small_images() -> torch.Tensor:
    return noise(3, 3, 24, 24)


@pytest.fixture
def explain(method):
    """Raw maps of the method; an error where it is rightly not defined, which ends the test well."""

    def run(network, images, **options):
        if isinstance(network, Tiny):
            options.setdefault("layers", TINY_LAYERS)
        if (method.name, getattr(network, "test_name", "")) in UNDEFINED:
            with pytest.raises(SaliencyError) as error:
                attribute(network, images, method, **options)
            assert len(str(error.value)) > 40
            return None
        return attribute(network, images, method, **options)[str(method)]

    return run
