"""Whole networks against zennit, where its canoniser makes it right, and where others break."""

import pytest
import torch
import torchvision
import zennit.composites
import zennit.layer
import zennit.rules
import zennit.types
from tests.saliency.relevance.networks import batch, calibrate
from zennit.torchvision import ResNetCanonizer

from xiqa.saliency.relevance import Lrp, propagate
from xiqa.saliency.relevance.lrprules import AlphaBeta, Epsilon, ZPlus

TINY = 1e-12


def resnet():
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=3).double()
    calibrate(network, "resnet18")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0  # zennit applies it a second time to the batch norm that it has merged
    for number, (key, parameter) in enumerate(network.named_parameters()):
        if key.endswith("bias"):
            parameter.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(number))
    return network.requires_grad_(False)


def by_zennit(network, images, dense, convolution):
    rules = [
        (zennit.types.Activation, zennit.rules.Pass()),
        (zennit.layer.Sum, zennit.rules.Norm(stabilizer=TINY)),
        (zennit.types.AvgPool, zennit.rules.Norm(stabilizer=TINY)),
        (zennit.types.Convolution, convolution),
        (zennit.types.Linear, dense),
    ]
    composed = zennit.composites.LayerMapComposite(rules, canonizers=[ResNetCanonizer()])
    leaf = images.clone().requires_grad_()
    with composed.context(network) as modified:
        logits = modified(leaf)
        start = torch.zeros_like(logits)
        start[:, 1] = logits[:, 1].detach()
        return torch.autograd.grad(logits, leaf, start)[0]


@pytest.mark.parametrize(
    ("rules", "dense", "convolution"),
    [
        (
            Lrp(Epsilon(TINY), Epsilon(TINY)),
            lambda: zennit.rules.Epsilon(epsilon=TINY),
            lambda: zennit.rules.Epsilon(epsilon=TINY),
        ),
        (
            Lrp(Epsilon(TINY), ZPlus()),
            lambda: zennit.rules.Epsilon(epsilon=TINY),
            lambda: zennit.rules.ZPlus(stabilizer=TINY, zero_params="bias"),
        ),
        (
            Lrp(Epsilon(TINY), AlphaBeta()),
            lambda: zennit.rules.Epsilon(epsilon=TINY),
            lambda: zennit.rules.AlphaBeta(2, 1, stabilizer=TINY),
        ),
    ],
    ids=["epsilon", "epsilon-plus", "epsilon-alpha2-beta1"],
)
def test_zennit_agrees_on_a_whole_resnet(rules, dense, convolution):
    network, images = resnet(), batch("resnet18", 2)
    ours = propagate(network, images, 1, rules)
    theirs = by_zennit(network, images, dense(), convolution())
    scale = float(ours.abs().max())
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.long
def test_the_failures_of_others_are_still_there_and_ours_are_not():
    from benchmarks.relevance_failures import rows

    told = {}
    for what, name, promised, peer, ours in rows():
        told[what, name] = peer
        if ours:
            assert float(ours.rpartition("= ")[2]) == pytest.approx(promised, rel=1e-3)
        words = peer.split(" ", 1)[1]
        try:
            assert abs(float(words) - promised) > 0.1 * abs(promised)
        except ValueError:
            assert "Error" in peer
    assert float(told["LRP-epsilon", "resnet34"].split()[1]) > 1e6
    assert "SiLU" in told["LRP-epsilon", "efficientnet_b0"]
