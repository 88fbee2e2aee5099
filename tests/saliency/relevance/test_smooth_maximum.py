"""The logarithm of a sum of exponentials, by which networks pool evidence: rules, limits, a real network."""

import math

import pytest
import torch
from tests.reference.relevance import layers as loops
from tests.saliency.relevance.networks import noise
from torch import nn

from xiqa.geometry import Frame
from xiqa.models.bundle import load_model
from xiqa.models.heads.evidence import SmoothMax
from xiqa.models.layers import TargetLayers
from xiqa.models.shelf import shipped_models
from xiqa.saliency.engine import attribute
from xiqa.saliency.gradients.gradient import over_channels
from xiqa.saliency.registry import Method
from xiqa.saliency.relevance import DeepLift, Ledger, Lrp, composite, deep_taylor, propagate
from xiqa.saliency.relevance.lrprules import Epsilon
from xiqa.simulation.chest import Scenario, simulate_chest

ZERO = Lrp(Epsilon(), Epsilon())
SHARPNESS = 1.7


class Pool(nn.Module):
    """Each channel is a logit, the smooth or the plain maximum of its places."""

    def __init__(self, sharpness=SHARPNESS, *, plain=False):
        super().__init__()
        self.sharpness, self.plain = sharpness, plain

    def forward(self, x):
        if self.plain:
            return x.amax(dim=(2, 3))
        return torch.logsumexp(self.sharpness * x, dim=(2, 3)) / self.sharpness


@pytest.mark.parametrize("shift", [0.0, -6.0, 4.0])
def test_lrp_is_the_loops(shift):
    images = noise(2, 3, 4, 5) + shift
    found = propagate(Pool(), images, 1, ZERO)
    for image, relevance in zip(images, found, strict=True):
        x = [SHARPNESS * v for v in image[1].flatten().tolist()]
        multipliers = loops.smooth_maximum(x, 1 / SHARPNESS)
        expected = [m * SHARPNESS * v / SHARPNESS for m, v in zip(multipliers, x, strict=True)]
        torch.testing.assert_close(relevance[1].flatten(), torch.tensor(expected, dtype=torch.double))
        assert not relevance[[0, 2]].any()


def test_what_lrp_leaves_out_is_the_entropy():
    """log(sum(exp(x))) = sum(p x) + H(p)."""
    images, ledger = noise(1, 3, 4, 5), Ledger()
    propagate(Pool(), images, 1, ZERO, ledger=ledger)
    p = (SHARPNESS * images[0, 1]).flatten().softmax(0)
    assert ledger.bias == pytest.approx(float(-(p * p.log()).sum()) / SHARPNESS, rel=1e-12)
    assert ledger.output == pytest.approx(float(Pool()(images)[0, 1]), rel=1e-12)
    assert ledger.gap < 1e-12


def test_deeplift_is_the_loops():
    images, reference = noise(2, 3, 4, 5), noise(1, 3, 4, 5, seed=3)
    images[:, 1, 2, 2] = reference[0, 1, 2, 2]  # a place that does not change
    found = propagate(Pool(), images, 1, DeepLift(), reference=reference)
    x0 = [SHARPNESS * v for v in reference[0, 1].flatten().tolist()]
    for image, contribution in zip(images, found, strict=True):
        x = [SHARPNESS * v for v in image[1].flatten().tolist()]
        multipliers = loops.smooth_maximum_change(x, x0, 1 / SHARPNESS)
        expected = [m * (v - v0) for m, v, v0 in zip(multipliers, x, x0, strict=True)]
        torch.testing.assert_close(contribution[1].flatten(), torch.tensor(expected, dtype=torch.double))


@pytest.mark.parametrize("far", [0.0, 1e-9, 50.0, -1e4, 1e4])
def test_deeplift_is_complete_and_finite_however_far_the_reference(far):
    images = noise(2, 3, 4, 5)
    reference = noise(1, 3, 4, 5, seed=3) + far if abs(far) > 1e-6 else images[:1] + far
    found = propagate(Pool(), images, 2, DeepLift(), reference=reference)
    change = (Pool()(images) - Pool()(reference))[:, 2]
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found.flatten(1).sum(1), change, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rules", [ZERO, DeepLift()], ids=["lrp", "deeplift"])
def test_a_sharp_smooth_maximum_is_a_maximum(rules):
    """A reference below the image in the winner's place: there both rules give the winner all."""
    images = noise(2, 3, 4, 5)
    reference = None if rules is ZERO else torch.full_like(images[:1], -9.0)
    sharp = propagate(Pool(1e5), images, 1, rules, reference=reference)
    plain = propagate(Pool(plain=True), images, 1, rules, reference=reference)
    if rules is ZERO:
        torch.testing.assert_close(sharp, plain, rtol=1e-9, atol=1e-9)
    else:  # what is near the winner has a part in the change from a flat reference
        torch.testing.assert_close(sharp.flatten(1).sum(1), plain.flatten(1).sum(1), rtol=0, atol=1e-3)
        winner = plain.flatten(1).argmax(1)
        assert torch.equal(sharp.flatten(1).argmax(1), winner)


def test_the_axes_may_be_told_in_any_way():
    images = noise(2, 3, 4, 5)
    ways = [
        lambda x: x.logsumexp((2, 3)),
        lambda x: x.logsumexp((-1, -2)),
        lambda x: x.logsumexp((2, 3), keepdim=True).flatten(1),
        lambda x: x.flatten(2).logsumexp(2),
        lambda x: x.logsumexp(3).logsumexp(2),
    ]

    class Way(nn.Module):
        def __init__(self, way):
            super().__init__()
            self.way = way

        def forward(self, x):
            return self.way(x)

    for rules, reference in ((ZERO, None), (DeepLift(), noise(1, 3, 4, 5, seed=3))):
        maps = [propagate(Way(way), images, 0, rules, reference=reference) for way in ways]
        for other in maps[1:-1]:
            torch.testing.assert_close(other, maps[0])
        torch.testing.assert_close(maps[-1].flatten(1).sum(1), maps[0].flatten(1).sum(1))
        if rules is ZERO:
            torch.testing.assert_close(maps[-1], maps[0])


@pytest.mark.parametrize("guided", ["guidedbackprop", "deconvnet"])
def test_rectifying_rules_leave_its_gradient_alone(guided):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1), Pool()).double()
    images = noise(2, 3, 8, 8)
    layers = TargetLayers("0", ("0",))
    found = attribute(network, images, Method(guided, norm="signed"), target=1, layers=layers)
    hidden = network[0](images).detach()
    weights = torch.softmax(SHARPNESS * network[2](hidden.relu())[:, 1].detach().flatten(1), 1)
    back = weights.view(2, 1, 6, 6) * network[2].weight[1].view(1, 4, 1, 1)
    back = back.clamp(min=0) * (hidden > 0 if guided == "guidedbackprop" else 1)
    expected = torch.nn.functional.conv_transpose2d(back, network[0].weight).detach()
    (mine,) = found.values()
    torch.testing.assert_close(mine, over_channels(expected, "signed"))


@pytest.fixture(scope="module")
def shipped():
    """The shipped network in float64 and images, one without and one with something to find."""
    model = load_model(shipped_models()[0])
    network = model.network.double().requires_grad_(False)
    radiographs = [
        simulate_chest(7, objects=Scenario(count), size=(320, 320)).image for count in ("none", "different")
    ]
    channels = len(model.card.preprocessing.mean)
    grids = [
        torch.from_numpy(Frame.resize(radiograph.size, (128, 128)).image_to_model(radiograph.pixels))
        for radiograph in radiographs
    ]
    images = torch.stack(grids)[:, None].expand(-1, channels, -1, -1).double()
    images = (images - 0.5) / 0.5
    return network, images.contiguous(), model.card


RULES = {
    "zero": ZERO,
    "epsilon": Lrp(Epsilon(1e-6), Epsilon(1e-6)),
    "epsilon plus": composite("epsilon_plus"),
    "gamma box": composite("epsilon_gamma_box"),
    "alpha beta": composite("epsilon_alpha2_beta1"),
    "deep taylor": deep_taylor(),
}


@pytest.mark.parametrize("name", RULES)
def test_lrp_accounts_for_all_on_the_shipped_network(shipped, name):
    network, images, card = shipped
    assert any(isinstance(module, SmoothMax) for module in network.modules())
    for image in images:
        ledger = Ledger()
        found = propagate(network, image[None], card.poor_class, RULES[name], ledger=ledger)
        assert ledger.output == pytest.approx(float(network(image[None])[0, card.poor_class]), rel=1e-9)
        assert ledger.gap < 1e-6
        assert math.isfinite(float(found.sum()))
        assert float(found.abs().max()) < 1e3 * abs(ledger.output)


@pytest.mark.parametrize("rule", ["none", "all"])
def test_deeplift_is_complete_on_the_shipped_network(shipped, rule):
    network, images, card = shipped
    reference = torch.zeros_like(images[:1])
    found = propagate(network, images, card.poor_class, DeepLift(rule), reference=reference)
    change = (network(images) - network(reference))[:, card.poor_class].detach()
    assert bool((change.abs() > 1e-3).all())
    torch.testing.assert_close(found.flatten(1).sum(1), change, rtol=1e-6, atol=0)
