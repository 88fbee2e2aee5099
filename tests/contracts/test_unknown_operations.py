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


def test_an_unknown_operation_is_named(make_tiny, small_images, explain, method):
    network = copy.deepcopy(make_tiny())
    network.block2.act = Odd()
    early = TargetLayers("block2" if method.name == "cam" else "block1", ("block1",))
    if method.name not in RULES:
        assert explain(network, small_images, target=1, layers=early).isfinite().all()
        return
    with pytest.raises(UnsupportedOperationError, match=r"block2\.act.*Odd"):
        explain(network, small_images, target=1, layers=early)
