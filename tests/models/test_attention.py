"""LFI-CAM's branch: the map in loops, the head it multiplies, and that it learns."""

import pytest
import torch
import torch.nn.functional as F
from tests.reference import attention as replica
from torch import nn

from xiqa.errors import ModelError, SaliencyError
from xiqa.models.backbones import Architecture, build_network
from xiqa.models.heads.attention import AttentionNet, FeatureImportance, StageNet, unit_range
from xiqa.models.layers import target_layers
from xiqa.saliency.engine import attribute


class Body(nn.Module):
    """Two stages, as a list."""

    def __init__(self, channels=1):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1, stride=2), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())

    def forward(self, images):
        first = self.first(images)
        return [first, self.second(first)]


@pytest.fixture
def network():
    torch.manual_seed(4)
    network = AttentionNet(Body(), (4, 6), classes=3).double()
    with torch.no_grad():  # importances that differ
        network.importance.mix[3].weight.mul_(20)
        network.importance.mix[3].bias.normal_()
    return network.eval()


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_map_is_the_loops(network):
    images = draw(3, 1, 9, 14)
    features = network.features(images)
    weights = network.importance(features, images)
    maps = network.attention_map(images)
    for sample in range(3):
        expected = replica.attention(features[sample].tolist(), weights[sample].tolist())
        assert torch.allclose(maps[sample], torch.tensor(expected, dtype=torch.float64), atol=1e-12)
    assert maps.amin(dim=(1, 2)).tolist() == [0, 0, 0]
    assert maps.amax(dim=(1, 2)).tolist() == [1, 1, 1]


def test_the_logits_are_a_weighted_head(network):
    images = draw(2, 1, 8, 8)
    features, maps = network.features(images), network.attention_map(images)
    head = network.head
    found = network(images)
    for sample in range(2):
        expected = replica.logits(
            features[sample].tolist(), maps[sample].tolist(), head.weight.tolist(), head.bias.tolist()
        )
        assert found[sample].tolist() == pytest.approx(expected)


def test_a_given_map_decides_what_the_head_sees(network):
    features = network.features(draw(2, 1, 8, 8))
    nowhere = torch.zeros(2, 4, 4, dtype=torch.float64)
    plain = network.head(F.adaptive_avg_pool2d(features, 1).flatten(1))
    assert torch.allclose(network.classify(features, nowhere), plain)
    everywhere = network.classify(features, nowhere + 1)
    assert torch.allclose(everywhere - network.head.bias, 2 * (plain - network.head.bias))
    one = nowhere.clone()
    one[:, 1, 2] = 1
    extra = features[:, :, 1, 2] / 16 @ network.head.weight.T
    assert torch.allclose(network.classify(features, one) - plain, extra)


def test_importances_are_shares(network):
    images = draw(2, 1, 12, 12)
    weights = network.importance(network.features(images), images)
    assert weights.shape == (2, 6)
    assert (weights > 0).all()
    assert torch.allclose(weights.sum(dim=1), torch.ones(2, dtype=torch.float64))
    assert weights.std(dim=1).min() > 0.01


def test_one_map_that_matters_alone_is_the_attention():
    """With all importance on one feature map the attention is that map, stretched."""
    network = AttentionNet(Body(), (4, 6)).double().eval()
    with torch.no_grad():
        network.importance.mix[3].bias.copy_(torch.tensor([0, 0, 0, 80.0, 0, 0]))
    images = draw(2, 1, 10, 10)
    alone = unit_range(network.features(images)[:, 3])
    assert torch.allclose(network.attention_map(images), alone, atol=1e-9)


def test_constant_features_give_no_attention():
    assert torch.equal(unit_range(torch.full((2, 3, 4, 4), 7.0)), torch.zeros(2, 3, 4, 4))


def test_the_branch_gets_a_gradient(network):
    network(draw(2, 1, 8, 8)).square().sum().backward()
    assert network.importance.mix[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("stages", [(3,), (2, 3, 4)])
def test_it_is_built_by_name(stages):
    network = build_network(Architecture(head="lficam", stages=stages, classes=3))
    images = torch.randn(2, 3, 64, 64)
    assert network(images).shape == (2, 3)
    side = 64 // 2 ** (stages[-1] + 1)
    assert network.attention_map(images).shape == (2, side, side)
    assert target_layers(network).last == "attended"
    with pytest.raises(ModelError, match="timm"):
        build_network(Architecture(head="lficam", library="torchvision", backbone="resnet18"))


def test_cam_is_defined_on_what_the_head_sees(network):
    """Behind the attention there is nothing but pooling and one linear layer."""
    images = draw(2, 1, 8, 8)
    maps = attribute(network, images, "cam", target=1)["cam"]
    assert torch.allclose(maps.mean(dim=(1, 2)), (network(images) - network.head.bias)[:, 1])


def test_the_method_is_the_branch(network):
    images = draw(2, 1, 8, 8)
    found = attribute(network, images, "lficam")["lficam"]
    assert torch.equal(found, network.attention_map(images).detach())
    with pytest.raises(SaliencyError, match=r"Sequential has no attention branch.*xiqa train lficam"):
        attribute(nn.Sequential(Body(), Last()).double(), images, "lficam")


class Last(nn.Module):
    def forward(self, stages):
        return stages[-1].mean(dim=(2, 3))


def test_importances_of_any_size_of_image():
    importance = FeatureImportance(3).eval()
    for size in ((5, 9), (1, 1)):
        assert importance(torch.rand(1, 3, *size), torch.rand(1, 3, 40, 33)).shape == (1, 3)


def test_without_attention_it_is_the_plain_classifier(network):
    """`StageNet` with the same weights is the network under a map of zeros."""
    plain = StageNet(network.body, (4, 6), classes=3).double().eval()
    plain.head.load_state_dict(network.head.state_dict())
    images = draw(2, 1, 8, 8)
    nowhere = torch.zeros(2, 4, 4, dtype=torch.float64)
    assert torch.allclose(plain(images), network.classify(network.features(images), nowhere))


def test_a_plain_head_on_a_stage_is_built_by_name():
    network = build_network(Architecture(head="stage", stages=(3,), classes=2))
    images = torch.randn(2, 3, 64, 64)
    assert isinstance(network, StageNet)
    assert network.features(images).shape[-2:] == (4, 4)
    assert len(network.body.blocks) == 5  # of seven: none behind the stage
    assert target_layers(network).last == "attended"
    maps = attribute(network.eval(), images, ["cam", "gradcam"], target=1)
    assert torch.allclose(maps["cam"].relu() / 16, maps["gradcam"], atol=1e-5)
