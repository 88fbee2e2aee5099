"""The rewritten graph says what autograd says, with fewer operations."""

import pytest
import torch
import torch.nn.functional as F

from xiqa.export.trace import trace

SIZE = (12, 12)


@pytest.fixture(autouse=True)
def same_weights():
    torch.manual_seed(0)


def traced(function):
    """The operations of the traced program, whose answer is the function's on a batch that was not traced."""
    program = trace(function, torch.zeros(1, 4, *SIZE))
    images = torch.randn(3, 4, *SIZE)
    for got, wanted in zip(program.module()(images), function(images), strict=True):
        largest = float(wanted.abs().max())  # sums in another order, where terms cancel
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6 * max(10, largest))
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"], program


def gradient(images, score):
    with torch.enable_grad():
        leaf = images.detach().requires_grad_()
        (grad,) = torch.autograd.grad(score(leaf).sum(), leaf)
    return grad


def test_a_crop_becomes_less_padding():
    weight = torch.randn(6, 4, 5, 5)

    def uneven(images):
        return (gradient(images, lambda x: F.conv2d(F.pad(x, (1, 2, 1, 2)), weight, stride=2).square()),)

    targets, program = traced(uneven)
    pads = [node.args[1] for node in program.graph.nodes if "constant_pad_nd" in str(node.target)]
    assert min(min(pad) for pad in pads) >= 0
    assert sum("conv" in target for target in targets) == 2


@pytest.mark.parametrize("order", [1, 2, torch.inf])
def test_the_norm_of_a_product_makes_no_gradient(order):
    weight = torch.randn(1, 4, 1, 1)

    def last_layer(images):
        grad = gradient(images, lambda x: torch.logsumexp(F.conv2d(x, weight), (2, 3)))
        return (torch.linalg.vector_norm(grad, ord=order, dim=1),)

    targets, _ = traced(last_layer)
    assert sum("conv" in target for target in targets) == 1
    assert not any("norm" in target for target in targets)


def test_other_norms_stay_what_they_are():
    weight = torch.randn(2, 4, 1, 1)

    def function(images):
        grad = gradient(images, lambda x: F.conv2d(x, weight).square())
        return tuple(torch.linalg.vector_norm(grad, ord=order, dim=1) for order in (1, 2, torch.inf))

    targets, _ = traced(function)
    assert sum("linalg_vector_norm" in target for target in targets) == 2


@pytest.mark.parametrize("activation", [F.relu6, F.relu, lambda x: F.hardtanh(x, -0.5, 0.3)])
def test_an_activation_is_computed_once(activation):
    weight = 3 * torch.randn(4, 4, 1, 1)

    def function(images):
        return (gradient(images, lambda x: activation(F.conv2d(x, weight)).square()),)

    targets, _ = traced(function)
    assert sum("clamp" in t or "hardtanh" in t or "relu" in t for t in targets) == 1
    assert sum("conv" in target for target in targets) == 2
