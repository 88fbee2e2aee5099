"""DeepLIFT against hand-computed toys, a slow replica, linear models and captum where it is right."""

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from tests.reference.relevance import layers as slow
from tests.saliency.relevance.networks import noise
from torch import nn

from xiqa.saliency.relevance import DeepLift, propagate

RESCALE, REVEAL = DeepLift(), DeepLift("all")


class Toy(nn.Module):
    """A function of two numbers as a network with one logit of interest."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        a, b = x.flatten(1).unbind(1)
        return torch.stack([torch.zeros_like(a), self.function(a, b)], dim=1)


def minimum(a, b):
    return a - F.relu(a - b)


def maximum(a, b):
    return b + F.relu(a - b)


def conjunction(a, b):
    return F.relu(a + b - 1)


def disjunction(a, b):
    return 1 - F.relu(1 - a - b)


# function, input, reference, contributions by rescale, contributions by RevealCancel; worked out by hand.
# RevealCancel averages the effect of the positive part before the negative one and after it.
TOYS = [
    (minimum, (3, 2), (0, 0), (0, 2), (1, 1)),  # relu: a 3, -b -2: up (3 + 1) / 2, down (1 - 3) / 2
    (minimum, (2, 3), (0, 0), (2, 0), (1, 1)),  # relu 0 in the end: up (2 + 0) / 2, down (0 - 2) / 2
    (minimum, (1, 1), (0, 0), (1, 0), (0.5, 0.5)),
    (maximum, (3, 2), (0, 0), (3, 0), (2, 1)),
    (maximum, (2, 3), (0, 0), (0, 3), (1, 2)),
    (conjunction, (1, 1), (0, 0), (0.5, 0.5), (0.5, 0.5)),
    (conjunction, (2, -0.5), (0, 0), (2 / 3, -1 / 6), (0.75, -0.25)),  # z from -1: up 2, down -0.5
    (disjunction, (1, 1), (0, 0), (0.5, 0.5), (0.5, 0.5)),
    (disjunction, (1, 0), (0, 0), (1, 0), (1, 0)),
]


@pytest.mark.parametrize(("function", "x", "x0", "rescaled", "revealed"), TOYS)
def test_toys_worked_out_by_hand(function, x, x0, rescaled, revealed):
    image, reference = (torch.tensor(v, dtype=torch.double).reshape(1, 2, 1, 1) for v in (x, x0))
    for rules, want in ((RESCALE, rescaled), (REVEAL, revealed)):
        found = propagate(Toy(function), image, 1, rules, reference=reference).flatten()
        torch.testing.assert_close(found, torch.tensor(want, dtype=torch.double), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", ["rescale", "revealcancel"])
@pytest.mark.parametrize("activation", [F.relu, torch.sigmoid, F.silu], ids=["relu", "sigmoid", "silu"])
def test_the_slow_replica_agrees(rule, activation):
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), Apply(activation), nn.Linear(5, 3)).double()
    network.requires_grad_(False)
    x, x0 = noise(1, 6, 1, 1, seed=1), noise(1, 6, 1, 1, seed=2)
    found = propagate(network, x, 2, RESCALE if rule == "rescale" else REVEAL, reference=x0)

    def f(number):
        return float(activation(torch.tensor(number, dtype=torch.double)))

    want = slow.deeplift(
        x.flatten().tolist(),
        x0.flatten().tolist(),
        network[1].weight.T.tolist(),
        network[1].bias.tolist(),
        network[3].weight[2].tolist(),
        f,
        rule=rule,
    )
    torch.testing.assert_close(found.flatten(), torch.tensor(want, dtype=torch.double), rtol=1e-8, atol=1e-10)


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("rules", [RESCALE, REVEAL], ids=["rescale", "revealcancel"])
def test_on_a_linear_model_it_is_weight_times_difference(rules):
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 2)).double()
    network.requires_grad_(False)
    x, x0 = noise(2, 2, 6, 6, seed=1), noise(1, 2, 6, 6, seed=2)
    leaf = x.clone().requires_grad_()
    (weight,) = torch.autograd.grad(network(leaf)[:, 1].sum(), leaf)
    found = propagate(network, x, 1, rules, reference=x0)
    torch.testing.assert_close(found, weight * (x - x0))


def plain():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.Sigmoid(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    return network.double().requires_grad_(False)


def test_captum_agrees_on_a_plain_network():
    network, x, x0 = plain(), noise(2, 3, 8, 8, seed=1), noise(1, 3, 8, 8, seed=2)
    found = propagate(network, x, 1, RESCALE, reference=x0)
    theirs = captum.attr.DeepLift(network).attribute(x.clone().requires_grad_(), x0, target=1)
    torch.testing.assert_close(found, theirs.detach(), rtol=1e-6, atol=1e-9)


def test_captum_is_incomplete_where_an_activation_is_a_function():
    """The sum that DeepLIFT promises holds here; captum's own differs, so it is no witness."""

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = plain()

        def forward(self, x):
            return self.inner[6](F.relu(self.inner[0](x))[:, :, ::2, ::2][:, :, :2, :2].flatten(1))

    network, x, x0 = Functional(), noise(1, 3, 8, 8, seed=1), noise(1, 3, 8, 8, seed=2)
    change = float((network(x) - network(x0))[0, 1])
    ours = propagate(network, x, 1, RESCALE, reference=x0)
    theirs = captum.attr.DeepLift(network).attribute(x.clone().requires_grad_(), x0, target=1)
    assert float(ours.sum()) == pytest.approx(change, rel=1e-9)
    assert float(theirs.detach().sum()) != pytest.approx(change, rel=1e-3)


def test_max_pooling_prefers_the_higher_maximum_and_stays_bounded():
    network = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 2, bias=False)).double()
    network[2].weight.data = torch.tensor([[0.0], [1.0]]).double()
    x = torch.tensor([[5.0, 1.0], [0.0, 0.0]]).double().reshape(1, 1, 2, 2)
    x0 = torch.tensor([[0.0, 3.0], [0.0, 0.0]]).double().reshape(1, 1, 2, 2)
    found = propagate(network, x, 1, RESCALE, reference=x0)
    assert found.flatten().tolist() == [2.0, 0.0, 0.0, 0.0]
    found = propagate(network, x0, 1, RESCALE, reference=x)
    assert found.flatten().tolist() == [-2.0, 0.0, 0.0, 0.0]
