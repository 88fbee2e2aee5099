"""Which layers are explained unless others are named."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from xiqa.errors import ModelError
from xiqa.models.backbones import Architecture, build_network
from xiqa.models.layers import target_layers

B0 = tuple(f"features.{stage}.0" for stage in range(9))
NAMES = {
    # as published
    "resnet34": ("layer4.2", ("layer2.0", "layer3.0", "layer4.0", "layer4.2")),
    "resnet50": ("layer4.2", ("layer2.0", "layer3.0", "layer4.0", "layer4.2")),
    "torchvision resnet34": ("layer4.2", ("layer2.0", "layer3.0", "layer4.0", "layer4.2")),
    "torchvision efficientnet_b0": ("features.8.2", (*B0, "features.8.2")),
    "efficientnet_b0": ("bn2", ("conv_stem", *(f"blocks.{stage}.0" for stage in range(7)), "conv_head")),
    # the last activation before each pooling, the transition or the end of a stage
    "vgg16_bn": ("features.42", ("features.12", "features.22", "features.32", "features.42")),
    "torchvision vgg16_bn": ("features.42", ("features.12", "features.22", "features.32", "features.42")),
    "densenet121": ("features.norm5", ("features.denseblock2", "features.denseblock3", "features.norm5")),
    "convnext_tiny": ("stages.3", ("stages.0", "stages.1", "stages.2", "stages.3")),
    "vit_small_patch16_224": (
        "blocks.11.norm1",
        ("blocks.2.norm1", "blocks.5.norm1", "blocks.8.norm1", "blocks.11.norm1"),
    ),
}


def build(name):
    with torch.device("meta"):  # no weights are needed to name layers
        if name.startswith("torchvision"):
            return torchvision.models.get_model(name.split()[1], weights=None)
        return timm.create_model(name)


@pytest.mark.parametrize("name", NAMES)
def test_known_families(name):
    network = build(name)
    layers = target_layers(network)
    assert (layers.last, layers.stages) == NAMES[name]
    for layer in (layers.last, *layers.stages):
        network.get_submodule(layer)


def test_the_evidence_network_is_explained_where_its_evidence_is_read():
    network = build_network(Architecture(head="evidence", backbone="tf_efficientnet_lite0"))
    assert target_layers(network).last == "fuse"


class Plain(nn.Module):
    """A network of no known family, with a reused pool and a functional end."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(6, 2)

    def forward(self, images):
        return self.head(self.pool(self.second(self.pool(self.first(images)))).mean(dim=(2, 3)))


def test_any_other_network_is_looked_at():
    layers = target_layers(Plain(), torch.zeros(1, 1, 16, 16))
    assert (layers.last, layers.stages) == ("second", ("first", "second"))


def test_without_an_image_it_cannot_be_looked_at():
    with pytest.raises(ModelError, match="Plain are not known"):
        target_layers(Plain())


def test_a_network_without_places_is_told():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with pytest.raises(ModelError, match="no layer with places"):
        target_layers(network, torch.zeros(1, 1, 4, 4))
