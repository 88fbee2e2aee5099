"""The tape: what it sees, what it refuses, and that it leaves nothing behind."""

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from tests.saliency.relevance.networks import batch, noise, real
from torch import nn

from xiqa.errors import SaliencyError, UnsupportedOperationError
from xiqa.saliency.relevance import DeepLift, composite, propagate
from xiqa.saliency.relevance.canonise import canonise
from xiqa.saliency.relevance.tape import record


def fingerprint(network):
    return (
        {key: value.clone() for key, value in network.state_dict().items()},
        [module.training for module in network.modules()],
        [parameter.requires_grad for parameter in network.parameters()],
        [parameter.grad for parameter in network.parameters()],
        [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in network.modules()
        ],
        torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cuda.flash_sdp_enabled(),
    )


def same(a, b):
    return all(torch.equal(a[0][key], b[0][key]) for key in a[0]) and a[1:] == b[1:]


@pytest.mark.parametrize("mode", ["plain", "inference", "no_grad"])
def test_the_network_is_left_as_it_was_found(mode):
    network = copy.deepcopy(real("resnet34"))
    network.layer2.train()
    for parameter in network.layer1.parameters():
        parameter.requires_grad_(True)
    before, images = fingerprint(network), batch("resnet34", 1)
    kept = images.clone()
    context = {"plain": torch.enable_grad, "inference": torch.inference_mode, "no_grad": torch.no_grad}[mode]
    with context():
        relevance = propagate(network, images.clone(), 0, composite("epsilon_plus"), layer="layer3")
    assert relevance.shape[1] == 256
    assert not relevance.requires_grad
    assert same(before, fingerprint(network))
    torch.testing.assert_close(images, kept, rtol=0, atol=0)


def test_the_network_is_left_as_it_was_found_when_a_rule_is_missing():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(64, 2)
    ).double()

    class Cosine(nn.Module):
        def forward(self, x):
            return torch.cos(x)

    network.insert(1, Cosine())
    before = fingerprint(network)
    with pytest.raises(UnsupportedOperationError, match="Cosine"):
        propagate(
            network, noise(1, 3, 6, 6), 0, DeepLift(), reference=torch.zeros(1, 3, 6, 6).double(), layer="0"
        )
    assert same(before, fingerprint(network))


def test_values_on_the_tape_are_those_of_the_network():
    network, images = real("efficientnet_b0"), batch("efficientnet_b0", 2)
    tape = canonise(record(network, images, ("blocks.3",)))
    seen = {}
    handle = network.blocks[3].register_forward_hook(lambda m, a, out: seen.update(out=out.clone()))
    logits = network(images)
    handle.remove()
    torch.testing.assert_close(tape.value(tape.logits), logits)
    torch.testing.assert_close(tape.value(tape.layers["blocks.3"]), seen["out"])
    for node in tape.nodes[1:]:  # each operation, run again on what the tape says it read
        if node.name != "affine" and node.outputs[0] is not None:
            from xiqa.saliency.relevance.step import Step

            step = Step(node, tape)
            again = step.call(*step.inputs)
            again = again[0] if isinstance(again, (tuple, list)) else again
            torch.testing.assert_close(again, node.output)


def test_batch_norm_merges_into_the_convolution_that_only_it_reads():
    tape = canonise(record(real("resnet34"), batch("resnet34", 1)))
    read = {ref.node for node in tape.nodes for ref in node.inputs}
    norms = [n for n in tape.nodes if n.index in read and type(n.affine).__name__ == "Diagonal"]
    assert norms == []
    tape = canonise(record(real("densenet121"), batch("densenet121", 1)))
    kinds = [type(node.affine).__name__ for node in tape.nodes if node.affine is not None]
    assert kinds.count("Diagonal") > 50  # before activations there is nothing to merge into
    for node in tape.nodes:
        if node.affine is not None:
            x = tape.value(node.inputs[0])
            offset = node.affine.offset()
            again = node.affine.apply(x, node.affine.weight) + (0 if offset is None else offset)
            torch.testing.assert_close(again, node.output, rtol=1e-8, atol=1e-8)


class Aliased(nn.Module):
    def __init__(self, way):
        super().__init__()
        self.way = way

    def forward(self, x):
        if self.way == "base read after its view changed":
            x = x * 2
            x[:, 0].relu_()
        elif self.way == "view read after its base changed":
            x = x * 2
            view = x.view(len(x), -1)
            x.relu_()
            return view[:, :2]
        elif self.way == "buffer filled by parts":
            out = torch.zeros_like(x)
            out[:, 0] = x[:, 0]
            x = out
        return x.flatten(1)[:, :2] * 1.0


@pytest.mark.parametrize(
    "way", ["base read after its view changed", "view read after its base changed", "buffer filled by parts"]
)
def test_changes_through_a_view_are_never_missed(way):
    with pytest.raises(UnsupportedOperationError, match="changed through a view"):
        propagate(Aliased(way), noise(1, 3, 4, 4), 0, composite("epsilon"))


def test_a_view_that_is_changed_and_read_itself_is_fine():
    class Flat(nn.Module):
        def forward(self, x):
            return F.relu((x * 2).flatten(1), inplace=True)[:, :2]

    x = noise(1, 3, 4, 4).abs()
    relevance = propagate(Flat(), x, 0, composite("epsilon"))
    assert float(relevance.sum()) == pytest.approx(float(2 * x[0, 0, 0, 0]), rel=1e-5)


def test_a_reference_that_takes_another_way_raises():
    class Branch(nn.Module):
        def forward(self, x):
            return (x.relu() if x.sum() > 0 else x.abs()).flatten(1)[:, :2]

    images = noise(1, 3, 4, 4).abs()
    assert propagate(Branch(), images, 0, composite("epsilon")).shape == images.shape
    with pytest.raises(UnsupportedOperationError, match="other operations on the reference"):
        propagate(Branch(), images, 0, DeepLift(), reference=-images)


def test_batch_statistics_raise():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2, track_running_stats=False), nn.Flatten())
    with pytest.raises(UnsupportedOperationError, match="normalises over the batch"):
        propagate(network.double(), noise(2, 3, 4, 4), 0, composite("epsilon"))


@pytest.mark.parametrize("network", [nn.Conv2d(3, 2, 3), nn.Identity()])
def test_an_output_that_is_no_logits_raises(network):
    with pytest.raises(SaliencyError, match=r"\(N, K\) logits"):
        propagate(network.double(), noise(1, 3, 6, 6), 0, composite("epsilon"))


def test_another_thread_is_not_recorded():
    network, images = real("resnet34"), batch("resnet34", 1)
    stop = threading.Event()

    def disturb():
        with torch.no_grad():
            while not stop.is_set():
                network(images)

    want = propagate(network, images, 0, composite("epsilon"))
    other = threading.Thread(target=disturb)
    other.start()
    try:
        got = [propagate(network, images, 0, composite("epsilon"), layer="layer4") for _ in range(2)]
        again = propagate(network, images, 0, composite("epsilon"))
    finally:
        stop.set()
        other.join()
    torch.testing.assert_close(again, want)
    torch.testing.assert_close(got[0], got[1])
