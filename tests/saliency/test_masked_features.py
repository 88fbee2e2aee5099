"""Ablation-CAM and Recipro-CAM: loops, closed forms against the long way, and the identities with CAM."""

import numpy as np
import pytest
import timm
import torch
from tests.reference import perturbation as reference
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.saliency.cams.ablationcam import ablation_weights, logits_without_channels
from xiqa.saliency.cams.pooledhead import pooled_head
from xiqa.saliency.cams.reciprocam import logits_of_places, place_masks
from xiqa.saliency.tail import Tail


class Pooled(nn.Module):
    """Global average pooling and one linear layer behind the layer."""

    def __init__(self, hidden=6):
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(1, hidden, 3), nn.ReLU())
        self.head = nn.Linear(hidden, 3)

    def forward(self, x):
        return self.head(self.layer(x).mean(dim=(2, 3)))


class Deep(Pooled):
    """More than a pooled linear head behind the layer."""

    def __init__(self):
        super().__init__()
        self.late = nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x):
        return self.head(torch.tanh(self.late(self.layer(x))).mean(dim=(2, 3)))


@pytest.fixture(params=[Pooled, Deep])
def tail(request):
    torch.manual_seed(1)
    network = request.param().double().eval()
    return Tail(network, "layer", torch.randn(1, 1, 6, 8, dtype=torch.float64), chunk=5)


def rest(tail, closed_form):
    """The closed form where there is one and it is wanted, else the tail."""
    head = pooled_head(tail)
    assert (head is not None) == (type(tail.network) is Pooled)
    return head if closed_form and head else tail


@pytest.mark.parametrize("closed_form", [True, False])
def test_ablation_agrees_with_the_loop(tail, closed_form):
    score = lambda logits: logits[:, 2]  # noqa: E731
    without = logits_without_channels(rest(tail, closed_form), tail.features)
    weights = ablation_weights(score(tail.logits)[0], score(without))
    found = torch.einsum("k,khw->hw", weights, tail.features[0]).relu()
    np.testing.assert_allclose(found, reference.ablation(tail, tail.features, score), atol=1e-12)


@pytest.mark.parametrize("closed_form", [True, False])
@pytest.mark.parametrize("kernel", ["1x1", "neighbour", "centre"])
def test_recipro_agrees_with_the_loop(tail, closed_form, kernel):
    score = lambda logits: logits.softmax(dim=1)[:, 1]  # noqa: E731
    found = score(logits_of_places(rest(tail, closed_form), tail.features, (4, 6), kernel)).reshape(4, 6)
    expected = reference.recipro(tail, tail.features, score, kernel=kernel)
    np.testing.assert_allclose(found, expected, atol=1e-12)


class TestOnAPooledLinearHead:
    @pytest.fixture
    def tail(self):
        torch.manual_seed(2)
        network = Pooled().double().eval()
        return Tail(network, "layer", torch.randn(1, 1, 6, 8, dtype=torch.float64))

    def test_the_drop_of_a_channel_is_its_weight_times_its_mean(self, tail):
        drop = tail.logits - logits_without_channels(tail, tail.features)
        expected = tail.network.head.weight.T * tail.features.mean(dim=(2, 3)).T
        torch.testing.assert_close(drop, expected, rtol=1e-10, atol=1e-12)

    def test_single_places_give_cam(self, tail):
        places = logits_of_places(tail, tail.features, (4, 6), "1x1")[:, 1].reshape(4, 6)
        cam = torch.einsum("k,khw->hw", tail.network.head.weight[1], tail.features[0])
        stretch = lambda m: (m - m.min()) / (m.max() - m.min())  # noqa: E731
        torch.testing.assert_close(stretch(places), stretch(cam), rtol=1e-10, atol=1e-12)

    def test_a_spread_place_is_a_single_place_away_from_the_border(self, tail):
        places = logits_of_places(tail, tail.features, (4, 6), "1x1").reshape(4, 6, 3)
        spread = logits_of_places(tail, tail.features, (4, 6), "centre").reshape(4, 6, 3)
        torch.testing.assert_close(spread[1:-1, 1:-1], places[1:-1, 1:-1])
        assert (spread[0, 0] - places[0, 0]).abs().max() > 1e-4


def test_tokens_keep_their_prefix_and_lose_one_channel_everywhere():
    torch.manual_seed(0)
    network = timm.create_model("vit_small_patch16_224", num_classes=2, img_size=(32, 48)).eval()
    tail = Tail(network, "blocks.10", torch.randn(1, 3, 32, 48))
    features = tail.features  # (1, 1 + 2 * 3, 384)
    masks = torch.from_numpy(place_masks((2, 3), "neighbour"))
    expected = [
        tail(torch.cat([features[:, :1], mask.flatten()[None, :, None] * features[:, 1:]], dim=1))
        for mask in masks
    ]
    found = logits_of_places(tail, features, (2, 3), "neighbour")
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-4, atol=1e-5)
    ablated = features.clone()
    ablated[..., 7] = 0
    found = logits_without_channels(tail, features)
    assert found.shape == (384, 2)
    torch.testing.assert_close(found[7:8], tail(ablated), rtol=1e-4, atol=1e-5)


def test_kernels():
    assert place_masks((3, 2), "1x1").sum() == 6
    middle = torch.from_numpy(place_masks((3, 3), "centre")[4])
    torch.testing.assert_close(middle, torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16)
    with pytest.raises(SaliencyError, match="1x1"):
        place_masks((3, 3), "5x5")


def test_a_negative_score_does_not_turn_the_map_round():
    weights = ablation_weights(torch.tensor(-4.0), torch.tensor([-6.0, -3.0]))
    assert weights.tolist() == [0.5, -0.25]
    assert ablation_weights(torch.tensor(0.0), torch.tensor([-1.0])).tolist() == [1.0]
