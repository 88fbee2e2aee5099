"""The contracts that a real architecture could break: by batch norm, dropout and stochastic depth."""

import pytest
import torch
from tests.contracts.test_batches import defined
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.saliency.engine import attribute

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def state(network: nn.Module) -> dict[str, list[object]]:
    """What a method could leave behind; every write to a weight or a buffer counts up its version."""
    tensors = [*network.parameters(), *network.buffers()]
    return {
        "modes": [module.training for module in network.modules()],
        "versions": [tensor._version for tensor in tensors],
        "sums": [float(tensor.detach().double().sum()) for tensor in tensors],
        "requires_grad": [weight.requires_grad for weight in network.parameters()],
        "grad": [weight.grad is None for weight in network.parameters()],
        "hooks": [[dict(getattr(module, name)) for name in HOOKS] for module in network.modules()],
        "own": [sorted(vars(module)) for module in network.modules()],
    }


@pytest.mark.long
@pytest.mark.applies(to=defined)
def test_a_network_in_training_is_explained_as_it_would_answer_and_left_in_training(network, images, explain):
    expected = explain(network, images[:1], target=1)
    frozen = next(network.parameters())
    network.train()
    frozen.requires_grad_(False)
    before = state(network)
    try:
        again = explain(network, images[:1], target=1)
        assert state(network) == before
    finally:
        network.eval()
        frozen.requires_grad_(True)
    assert torch.equal(again, expected)


@pytest.mark.long
def test_a_failure_leaves_nothing_behind(network, images, method):
    """A class that the head does not have."""
    before = state(network)
    with pytest.raises(SaliencyError):
        attribute(network, images[:1], method, target=7)
    assert state(network) == before
