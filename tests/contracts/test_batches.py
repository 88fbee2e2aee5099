"""A batch gives the maps of its images one by one; the same call gives the same map; seeds matter."""

import pytest
import torch
from tests.contracts.conftest import METHODS, UNDEFINED

from xiqa.models.layers import TargetLayers
from xiqa.saliency.engine import attribute
from xiqa.saliency.registry import Method, bind


def close(left, right):
    scale = right.abs().amax(dim=(-2, -1), keepdim=True).clamp_min(1e-12)
    return float(((left - right) / scale).abs().max()) < 1e-6


def defined(params) -> bool:
    return (params["method"], params["network"]) not in UNDEFINED


@pytest.mark.applies(to=lambda params: not defined(params))
def test_where_a_method_is_not_defined_it_says_so(network, images, explain):
    assert explain(network, images, target=1) is None  # the error is looked at there


@pytest.mark.applies(to=defined)
def test_a_batch_is_its_images(network, images, explain):
    target = torch.tensor([2, 0])
    together = explain(network, images, target=target)
    alone = [explain(network, image[None], target=int(c)) for image, c in zip(images, target, strict=True)]
    assert together.shape[0] == len(images)
    assert close(torch.cat(alone), together)
    assert together.isfinite().all()


def test_a_map_differs_from_place_to_place(make_tiny, small_images, explain, method):
    early = TargetLayers("block2" if method.name == "cam" else "block1", ("block1", "block2"))
    found = explain(make_tiny(), small_images, target=torch.tensor([0, 1, 2]), layers=early)
    assert (found.amax(dim=(1, 2)) > found.amin(dim=(1, 2))).any()  # a positive part may be empty


def test_again_is_the_same(make_tiny, small_images, explain):
    assert torch.equal(explain(make_tiny(), small_images), explain(make_tiny(), small_images))


@pytest.mark.applies(to=lambda params: "seed" in bind(METHODS[params["method"]]).params)
def test_a_seed_decides(make_tiny, small_images, explain, method):
    early = TargetLayers("block1", ("block1", "block2"))  # at the last layer the gradient ignores the image
    other = Method(method.name, **{**method.params, "seed": 1})
    second = attribute(make_tiny(), small_images, other, layers=early)[str(other)]
    assert not torch.equal(explain(make_tiny(), small_images, layers=early), second)


@pytest.mark.parametrize(
    "names", [("gradcam", "guidedgradcam"), ("normgrad_conv3x3", "gradient", "rise:masks=8")]
)
def test_methods_together_are_methods_alone(names, make_tiny, small_images):
    together = attribute(make_tiny(), small_images, names, target=1)
    for name in names:
        (alone,) = attribute(make_tiny(), small_images, name, target=1).values()
        assert torch.allclose(together[str(Method.parse(name))], alone, rtol=1e-9, atol=0)
