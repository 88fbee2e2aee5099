"""The network is left as it was found, also when a call fails; how it was found does not matter."""

import copy

import pytest
import torch
from torch import nn

from xiqa.saliency.capture import ForwardPass


def state(network):
    """All that a method could leave behind in a network."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "modes": [module.training for module in network.modules()],
        "weights": [weight.clone() for weight in network.parameters()],
        "buffers": [buffer.clone() for buffer in network.buffers()],
        "requires_grad": [weight.requires_grad for weight in network.parameters()],
        "grad": [None if weight.grad is None else weight.grad.clone() for weight in network.parameters()],
        "hooks": [[dict(getattr(module, name)) for name in hooks] for module in network.modules()],
        "own": [sorted(vars(module)) for module in network.modules()],
        "versions": [weight._version for weight in network.parameters()],
    }


def same(before, after):
    for key, old in before.items():
        for left, right in zip(old, after[key], strict=True):
            equal = torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right
            assert equal, key


@pytest.fixture
def messy(make_tiny):
    """In training mode but for one part, partly frozen, with gradients and somebody's hook."""
    network = copy.deepcopy(make_tiny())
    network.train()
    network.block1.norm.eval()
    network.block1.conv.weight.requires_grad_(False)
    network.head.weight.grad = torch.ones_like(network.head.weight)
    network.block2.register_forward_hook(lambda module, args, output: None)
    return network


def test_nothing_is_left_behind(messy, small_images, explain):
    before = state(messy)
    explain(messy, small_images, target=1)
    same(before, state(messy))
    assert not small_images.requires_grad


class Fails(nn.Module):
    def forward(self, features):
        raise RuntimeError("on purpose")


def test_nothing_is_left_behind_by_a_failure(messy, small_images, explain):
    messy.head = Fails()
    before = state(messy)
    with pytest.raises(RuntimeError, match="on purpose"):
        explain(messy, small_images, target=1)
    same(before, state(messy))


def test_how_the_network_is_found_does_not_matter(make_tiny, small_images, explain):
    expected = explain(make_tiny(), small_images, target=1)
    frozen = copy.deepcopy(make_tiny()).requires_grad_(False)
    training = copy.deepcopy(make_tiny()).train()
    assert torch.allclose(explain(frozen, small_images, target=1), expected, rtol=1e-9)
    assert torch.allclose(explain(training, small_images, target=1), expected, rtol=1e-9)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_who_calls_does_not_matter(around, make_tiny, small_images, explain):
    expected = explain(make_tiny(), small_images, target=1)
    with around():
        mode = torch.is_grad_enabled()
        made_inside = small_images + 0  # under inference_mode a tensor that no graph may hold
        maps = explain(make_tiny(), made_inside, target=1)
        assert torch.is_grad_enabled() == mode
    assert torch.allclose(maps, expected, rtol=1e-9)
    assert not maps.requires_grad


def test_the_captured_pass_is_the_network(network, images):
    with torch.no_grad():
        expected = network(images)
    name = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)][:3][-1]
    assert torch.equal(ForwardPass(network, images, [name]).logits, expected)
    assert torch.equal(ForwardPass(network, images, [name], image_grad=True).logits, expected)
