"""An operation that a rule does not know is named; never a silent fall back to the plain gradient."""

import copy

import pytest
import torch
from torch import nn

from xiqa.errors import UnsupportedOperationError
from xiqa.models.layers import TargetLayers

# Methods with a rule for each operation; all others treat the network as a function.
RULES = {
    "deconvnet", "deeplift", "deeplift_revealcancel", "deeptaylor", "guidedbackprop", "guidedgradcam",
    "lrp_alphabeta", "lrp_epsilon", "lrp_gamma", "lrp_zero", "relevancecam",
}  # fmt: skip


class Odd(nn.Module):
    """Differentiable, not linear, and not of one place alone."""

    def forward(self, features):
        return torch.logcumsumexp(features, -1)


def with_an_unknown_operation(make_tiny, method):
    network = copy.deepcopy(make_tiny())
    network.block2.act = Odd()
    return network, TargetLayers("block2" if method.name == "cam" else "block1", ("block1",))


@pytest.mark.applies(to=lambda params: params["method"] not in RULES)
def test_an_unknown_operation_is_no_matter_without_rules(make_tiny, small_images, explain, method):
    network, early = with_an_unknown_operation(make_tiny, method)
    found = explain(network, small_images, target=1, layers=early)
    assert found.isfinite().all()
    assert float(found.std()) > 0


@pytest.mark.applies(to=lambda params: params["method"] in RULES)
def test_an_unknown_operation_is_named(make_tiny, small_images, explain, method):
    network, early = with_an_unknown_operation(make_tiny, method)
    with pytest.raises(UnsupportedOperationError, match=r"block2\.act.*Odd"):
        explain(network, small_images, target=1, layers=early)
