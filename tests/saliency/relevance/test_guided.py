"""Guided backpropagation and DeconvNet against hooks written by hand and captum; what is unknown raises."""

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from tests.saliency.relevance.networks import REAL, batch, noise, real
from torch import nn

from xiqa.errors import UnsupportedOperationError
from xiqa.saliency.engine import attribute

SIGNED = {name: f"{name}:norm=signed" for name in ("gradient", "guidedbackprop", "deconvnet")}


def small(activation):
    torch.manual_seed(0)
    return (
        nn.Sequential(
            nn.Conv2d(3, 4, 3),
            activation(),
            nn.Conv2d(4, 5, 3),
            activation(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(20, 3),
        )
        .double()
        .eval()
    )


class ByHand(torch.autograd.Function):
    """A rectifier with the documented backward rule, independent of the graph hooks."""

    @staticmethod
    def forward(ctx, x, function, guided):
        ctx.save_for_backward(x)
        ctx.function, ctx.guided = function, guided
        return function(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        if not ctx.guided:
            return g.clamp(min=0), None, None
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.function(leaf).sum(), leaf)
        return g.clamp(min=0) * slope * (x > 0), None, None


class Replaced(nn.Module):
    def __init__(self, function, guided):
        super().__init__()
        self.function, self.guided = function, guided

    def forward(self, x):
        return ByHand.apply(x, self.function, self.guided)


@pytest.mark.parametrize("name", ["guidedbackprop", "deconvnet"])
@pytest.mark.parametrize(
    "activation",
    [nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.LeakyReLU, nn.ELU, nn.Softplus, nn.Mish],
)
def test_the_rule_is_the_documented_one(activation, name):
    network, images = small(activation), noise(2, 3, 8, 8, seed=1)
    twin = small(lambda: Replaced(activation(), name == "guidedbackprop"))
    leaf = images.clone().requires_grad_()
    (want,) = torch.autograd.grad(twin(leaf)[:, 1].sum(), leaf)
    found = attribute(network, images, SIGNED[name], target=1)[SIGNED[name]]
    torch.testing.assert_close(found, want.sum(dim=1))


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("guidedbackprop", captum.attr.GuidedBackprop), ("deconvnet", captum.attr.Deconvolution)],
)
def test_captum_agrees_on_relu_modules(name, theirs):
    network, images = small(nn.ReLU), noise(2, 3, 8, 8, seed=1)
    found = attribute(network, images, SIGNED[name], target=1)[SIGNED[name]]
    want = theirs(network).attribute(images.clone().requires_grad_(), target=1)
    torch.testing.assert_close(found, want.detach().sum(dim=1))


def test_functional_and_in_place_rectifiers_count_too():
    class Functional(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            x = F.relu(self.inner[0](x))
            return self.inner[6](self.inner[4](F.relu(self.inner[2](x), inplace=True)).flatten(1))

    network, images = small(nn.ReLU), noise(2, 3, 8, 8, seed=1)
    for method in SIGNED.values():
        one, other = (attribute(n, images, method, target=1)[method] for n in (network, Functional(network)))
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["resnet18", *REAL, pytest.param("densenet201", marks=pytest.mark.long)])
def test_it_differs_from_the_gradient_on_every_network(name):
    methods = [*SIGNED.values()]
    maps = attribute(real(name), batch(name, 1), methods, target=1)
    gradient, guided, deconvolution = (maps[method] for method in methods)
    for one, other in ((gradient, guided), (gradient, deconvolution), (guided, deconvolution)):
        scale = max(float(one.abs().max()), float(other.abs().max()))
        assert float((one - other).abs().max()) > 1e-2 * scale > 0


def test_an_unknown_function_raises_and_names_its_module():
    class Sine(nn.Module):
        def forward(self, x):
            return torch.sin(x)

    network = small(nn.ReLU)
    network[1] = Sine()
    with pytest.raises(UnsupportedOperationError, match=r"'sin' in module '1' \(Sine\)"):
        attribute(network, noise(1, 3, 8, 8), "guidedbackprop", target=1)
    assert attribute(network, noise(1, 3, 8, 8), "gradient", target=1)  # no hook is left, nothing is spoilt


def test_a_function_with_a_gradient_of_its_own_is_what_it_does():
    network, images = small(lambda: Replaced(torch.relu, False)), noise(1, 3, 8, 8)
    found = attribute(network, images, "guidedbackprop", target=1)["guidedbackprop"]
    expected = attribute(small(nn.ReLU), images, "guidedbackprop", target=1)["guidedbackprop"]
    torch.testing.assert_close(found, expected)


def test_the_gradient_beside_it_is_untouched():
    network, images = small(nn.ReLU), noise(2, 3, 8, 8, seed=1)
    alone = attribute(network, images, "gradient", target=1)["gradient"]
    for order in (["guidedbackprop", "gradient"], ["gradient", "guidedbackprop", "deconvnet"]):
        torch.testing.assert_close(
            attribute(network, images, order, target=1)["gradient"], alone, rtol=0, atol=0
        )


def test_guided_gradcam_is_the_product_of_its_parts():
    network, images = real("resnet34"), batch("resnet34", 2)
    maps = attribute(network, images, ["guidedgradcam", "guidedbackprop:norm=signed", "gradcam"], target=1)
    coarse = F.interpolate(maps["gradcam"][:, None], images.shape[-2:], mode="bilinear", align_corners=False)[
        :, 0
    ]
    torch.testing.assert_close(maps["guidedgradcam"], maps["guidedbackprop:norm=signed"] * coarse)
