"""A rectifier that is not called relu: the map is that of the function, or an error names the module."""

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xiqa.errors import SaliencyError, UnsupportedOperationError
from xiqa.saliency.engine import attribute

METHODS = ["guidedbackprop:norm=signed", "deconvnet:norm=signed", "lrp_zero", "deeplift"]


class Own(torch.autograd.Function):
    """A rectifier with a gradient written by hand."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0] > 0)


def assigned(x):
    x = x.clone()
    x[x < 0] = 0
    return x


def shifted_gate(x):
    return (x + 3).clamp(0, 6) / 6


SPELLINGS = {
    "relu": [
        lambda x: x.clamp(min=0),
        lambda x: x.clip(0),
        lambda x: torch.where(x > 0, x, 0),
        lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
        lambda x: x * (x > 0),
        lambda x: x * (x > 0).to(x.dtype),
        lambda x: (x + x.abs()) / 2,
        lambda x: torch.maximum(x, torch.zeros_like(x)),
        lambda x: torch.max(x, torch.zeros((), dtype=x.dtype)),
        lambda x: -torch.min(-x, torch.zeros_like(x)),
        lambda x: x.masked_fill(x < 0, 0),
        lambda x: F.threshold(x, 0, 0),
        lambda x: x * x.sign().clamp(min=0),
        assigned,
        Own.apply,
    ],
    "relu6": [
        lambda x: x.clamp(0, 6),
        lambda x: torch.minimum(F.relu(x), torch.full_like(x, 6.0)),
        lambda x: F.hardtanh(x, 0, 6),
    ],
    "leaky_relu": [
        lambda x: torch.max(x, 0.01 * x),
        lambda x: torch.where(x > 0, x, 0.01 * x),
        lambda x: F.relu(x) - 0.01 * F.relu(-x),
    ],
    "elu": [lambda x: torch.where(x > 0, x, torch.expm1(x))],
    "silu": [
        lambda x: x * torch.sigmoid(x),
        lambda x: x * (1 / (1 + torch.exp(-x))),
        lambda x: x.sigmoid().mul_(x),
    ],
    "gelu": [lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5))],
    "hardswish": [
        lambda x: x * F.relu6(x + 3) / 6,
        lambda x: x * F.hardsigmoid(x),
        lambda x: x * shifted_gate(x),
    ],
    "softplus": [lambda x: torch.log(1 + torch.exp(x)), lambda x: torch.log1p(x.exp())],
    "mish": [lambda x: x * torch.tanh(F.softplus(x))],
}


class Act(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def build(function, gate=None):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), Act(function), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), Act(function)]
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(20, 3)).double().eval()


def images():
    return torch.randn(2, 3, 8, 8, dtype=torch.double, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, ways in SPELLINGS.items() for number in range(len(ways))]
)
def test_a_spelling_has_the_map_of_its_function(name, number, method):
    expected = attribute(build(getattr(F, name)), images(), method, target=1)[method]
    found = attribute(build(SPELLINGS[name][number]), images(), method, target=1)[method]
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-9 * float(expected.abs().max()))
    assert float(expected.abs().max()) > 0


def through_a_view(x):
    x = x.clone()
    x[:, :2].relu_()
    return x


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (through_a_view, "changed through a view"),
        (lambda x: torch.stack([x, torch.zeros_like(x)]).amax(0), r"'amax' in module '4' \(Act\)"),
        (torch.sin, r"'sin' in module '4' \(Act\)"),
    ],
)
@pytest.mark.parametrize("method", ["guidedbackprop", "deconvnet", "guidedgradcam:layers=0"])
def test_what_cannot_be_told_is_an_error_and_no_plain_gradient(function, problem, method):
    with pytest.raises(UnsupportedOperationError, match=problem):
        attribute(build(function), images(), method, target=1)


@pytest.mark.parametrize("gate", [torch.sigmoid, torch.tanh, shifted_gate, lambda x: F.relu6(x + 3) / 6])
def test_a_gate_keeps_its_gradient(gate):
    """A network of gates alone: nothing rectifies, so all gradients pass as they are."""
    plain = attribute(build(gate), images(), "gradient:norm=signed", target=1)["gradient:norm=signed"]
    guided = attribute(build(gate), images(), "guidedbackprop:norm=signed", target=1)
    assert torch.allclose(guided["guidedbackprop:norm=signed"], plain, rtol=1e-8, atol=1e-12)


class Shortcut(nn.Module):
    def __init__(self, how):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 6, 3), nn.LayerNorm(6)
        self.mix, self.head, self.how = nn.Linear(6, 6), nn.Linear(6, 3), how

    def forward(self, x):
        tokens = self.conv(x).permute(0, 2, 3, 1)
        tokens = self.how(self.norm(tokens))
        return self.head(F.relu(self.mix(tokens)).mean(1))


@pytest.mark.parametrize(
    "reshape",
    [
        lambda x: x.permute(0, 2, 1, 3).reshape(len(x), -1, 6),
        lambda x: x.transpose(1, 2).flatten(1, 2),
        lambda x: x.unflatten(1, (3, 2)).transpose(1, 3).reshape(len(x), -1, 6),
    ],
)
def test_a_reshape_is_no_custom_gradient(reshape):
    network = Shortcut(reshape).double().eval()
    found = attribute(network, images(), ["guidedbackprop", "gradient"], target=1)
    assert not torch.equal(found["guidedbackprop"], found["gradient"])
    assert float(found["guidedbackprop"].abs().max()) > 0


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
def test_weights_that_are_made_anew_are_weights(norm):
    network = build(F.relu)
    expected = {}
    wrapped = operator.attrgetter(norm)(nn.utils.parametrizations)(network[0])
    frozen = wrapped.weight.detach().clone()
    for method in METHODS:
        expected[method] = attribute(network, images(), method, target=1)[method]
    plain = build(F.relu)
    plain[0].weight.data = frozen
    for method in METHODS:
        found = attribute(plain, images(), method, target=1)[method]
        assert torch.allclose(found, expected[method], rtol=1e-6, atol=1e-10)


def test_an_operation_without_a_derivative_is_a_typed_error():
    network = build(lambda x: torch.heaviside(x, torch.zeros((), dtype=x.dtype)) * x)
    with pytest.raises(SaliencyError):
        attribute(network, images(), "guidedbackprop", target=1)
