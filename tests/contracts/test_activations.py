"""However an activation is written, the map is the same; a reused module counts at its last call."""

import pytest
import torch
from tests.contracts.conftest import METHODS

from xiqa.models.layers import TargetLayers
from xiqa.saliency.capture import ForwardPass
from xiqa.saliency.engine import attribute
from xiqa.saliency.registry import bind

WAYS = ["inplace", "functional", "functional_inplace", "reused"]


@pytest.mark.parametrize("way", WAYS)
def test_the_way_it_is_written_does_not_matter(way, make_tiny, small_images, explain):
    expected = explain(make_tiny(), small_images, target=2)
    assert torch.allclose(explain(make_tiny(way), small_images, target=2), expected, rtol=1e-9)


def looks_at_layers(params) -> bool:
    """CAM looks at one, but is not defined before the activation."""
    return params["method"] != "cam" and "layers" in bind(METHODS[params["method"]]).params


@pytest.mark.applies(to=looks_at_layers)
@pytest.mark.parametrize("way", WAYS)
def test_nor_does_it_before_the_activation(way, make_tiny, small_images, explain):
    before = TargetLayers("block2.norm", ("block1.norm", "block2.norm"))
    expected = explain(make_tiny(), small_images, target=2, layers=before)
    found = explain(make_tiny(way), small_images, target=2, layers=before)
    assert torch.allclose(found, expected, rtol=1e-9)


def test_a_reused_module_counts_at_its_last_call(make_tiny, small_images):
    reused = make_tiny("reused")
    passed = ForwardPass(reused, small_images, ["block1.act", "block2"])
    first, second = passed.backward(torch.tensor([0, 1, 2]))[0].values()
    assert torch.equal(first.output, second.output)
    assert torch.equal(first.grad, second.grad)


def test_an_output_is_what_it_was_before_a_change_in_place(make_tiny, small_images):
    passed = ForwardPass(make_tiny("inplace"), small_images, ["block2.norm"])
    record = passed.backward(torch.tensor([0, 1, 2]))[0]["block2.norm"]
    assert (record.output < 0).any()
    # the gradient of the logits: only where the activation lets it pass
    assert torch.equal(record.grad == 0, record.output <= 0)


def test_all_layers_come_from_one_pass(make_tiny, small_images, monkeypatch):
    calls = []
    network = make_tiny()
    both = TargetLayers("block2", ("block1", "block2"))
    attribute(
        network, small_images, "gradcam:layers=multi", layers=both
    )  # where the layers' places are is known
    forward = network.forward
    monkeypatch.setattr(network, "forward", lambda images: calls.append(len(images)) or forward(images))
    names = ["gradcam", "normgrad_conv1x1:layers=multi", "fem", "gradient", "guidedbackprop", "guidedgradcam"]
    attribute(network, small_images, names, target=1, layers=TargetLayers("block2", ("block1", "block2")))
    assert calls == [3]
