"""The registered relevance methods through the engine."""

import pytest
import torch
from tests.saliency.relevance.networks import batch, noise, real
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.models.layers import TargetLayers
from xiqa.saliency.capture import ForwardPass
from xiqa.saliency.engine import attribute, explain
from xiqa.saliency.perturbation.copies import baseline
from xiqa.saliency.relevance import COMPOSITES, DeepLift, Lrp, propagate
from xiqa.saliency.relevance.lrprules import Epsilon
from xiqa.saliency.relevance.tape import record

METHODS = [
    "lrp_zero",
    "lrp_zero:bias=false,first=flat",
    "lrp_epsilon",
    "lrp_epsilon:signed=false,epsilon=0.01",
    "lrp_gamma:gamma=0.5",
    "lrp_alphabeta",
    "lrp_alphabeta:alpha=1,beta=0,first=box",
    "deeptaylor",
    "deeptaylor:bounded=false",
    "deeplift",
    "deeplift:reference=min",
    "deeplift_revealcancel:where=dense",
    "relevancecam",
]


@pytest.mark.parametrize("method", [*METHODS, *(f"lrp_epsilon:composite={name}" for name in COMPOSITES)])
def test_each_gives_finite_maps_that_do_not_depend_on_the_batch(method):
    network, images = real("resnet34"), batch("resnet34", 2)
    (maps,) = attribute(network, images, method, target=torch.tensor([2, 0])).values()
    assert bool(maps.isfinite().all())
    assert float(maps.abs().max()) > 0
    if "relevancecam" not in method:
        assert maps.shape == (2, *images.shape[-2:])
    (alone,) = attribute(network, images[1:], method, target=0).values()
    torch.testing.assert_close(maps[1:], alone, rtol=1e-7, atol=1e-12)


def test_they_share_one_recorded_pass(monkeypatch):
    passes = []
    monkeypatch.setattr("xiqa.saliency.relevance.recorded.record", lambda *a: passes.append(1) or record(*a))
    attribute(real("resnet34"), batch("resnet34", 1), ["lrp_zero", "lrp_epsilon", "deeptaylor", "lrp_gamma"])
    assert len(passes) == 1


def test_the_engine_gives_what_the_rules_give():
    network, images = real("resnet34"), batch("resnet34", 2)
    maps = attribute(network, images, ["lrp_zero", "deeplift:reference=blur"], target=1)
    want = propagate(network, images, 1, Lrp(Epsilon(), Epsilon())).sum(dim=1)
    torch.testing.assert_close(maps["lrp_zero"], want)
    want = propagate(network, images, 1, DeepLift(), reference=baseline(images, "blur")).sum(dim=1)
    torch.testing.assert_close(maps["deeplift:reference=blur"], want)


def test_several_references_are_averaged():
    network, images = real("resnet34"), batch("resnet34", 2)
    methods = ["deeplift:reference=mean", "deeplift:reference=0.5", "deeplift:reference=mean+0.5"]
    maps = attribute(network, images, methods, target=1)
    torch.testing.assert_close(maps[methods[2]], (maps[methods[0]] + maps[methods[1]]) / 2)


def test_a_head_of_one_logit_explains_class_0_by_its_negative():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)
    ).double()
    images = noise(2, 1, 8, 8)
    for method in ("lrp_zero", "deeplift"):
        poor, good = (attribute(network, images, method, target=target)[method] for target in (1, 0))
        torch.testing.assert_close(poor, -good)
    assert attribute(network, images, "relevancecam:layers=1")["relevancecam:layers=1"].shape == (2, 6, 6)


def test_saliency_maps_say_how_they_were_made():
    found = explain(real("resnet34"), batch("resnet34", 1), "lrp_epsilon:composite=epsilon_plus", target=1)
    (saliency,) = found["lrp_epsilon:composite=epsilon_plus"]
    assert saliency.method == "lrp_epsilon"
    assert saliency.params["composite"] == "epsilon_plus"


def test_relevancecam_tells_classes_apart():
    network, images = real("resnet34"), batch("resnet34", 1)
    maps = [
        attribute(network, images, "relevancecam:relu=false", target=t)["relevancecam:relu=false"]
        for t in (0, 1)
    ]
    assert not torch.allclose(maps[0], maps[1])


def test_float32_is_near_float64():
    images = batch("resnet34", 1)
    import copy

    single = copy.deepcopy(real("resnet34")).float()
    for method in ("lrp_epsilon:composite=epsilon_plus", "deeptaylor"):
        exact = attribute(real("resnet34"), images, method, target=1)[method]
        rough = attribute(single, images.float(), method, target=1)[method].double()
        assert float((exact - rough).abs().quantile(0.95)) < 1e-3 * float(exact.abs().max())


@pytest.mark.parametrize(
    "method",
    [
        "lrp_zero:first=last",
        "lrp_epsilon:composite=best",
        "lrp_alphabeta:alpha=2,beta=2",
        "deeplift:reference=white",
        "deeplift_revealcancel:where=here",
    ],
)
def test_wrong_parameters_raise(method):
    with pytest.raises(SaliencyError):
        attribute(real("resnet34"), batch("resnet34", 1), method)


def test_a_plain_pass_has_no_tape():
    from xiqa.saliency.relevance.recorded import explained

    passed = ForwardPass(real("resnet34"), batch("resnet34", 1), grad=False)
    _, image = passed.backward(torch.tensor([0]))
    with pytest.raises(SaliencyError, match="recorded pass"):
        explained(image, Lrp(Epsilon(), Epsilon()))


def test_relevancecam_of_mirrored_logits_starts_from_the_class_alone():
    """Logits (-z, z) contrast to nothing; the map is that of a network whose other logit is constant."""
    torch.manual_seed(0)
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 1))
    body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), *pooled)
    nn.init.uniform_(pooled[2].weight)  # z is positive

    class Mirror(nn.Module):
        def __init__(self, mirrored):
            super().__init__()
            self.body, self.mirrored = body.double(), mirrored

        def forward(self, x):
            z = self.body(x)
            return torch.cat([-z if self.mirrored else torch.zeros_like(z), z], dim=1)

    images = noise(2, 3, 8, 8)
    layers = TargetLayers("body.1", ("body.1",))
    maps = [
        next(iter(attribute(Mirror(mirrored), images, "relevancecam", target=1, layers=layers).values()))
        for mirrored in (True, False)
    ]
    assert bool((maps[0].amax((1, 2)) > maps[0].amin((1, 2))).all())
    torch.testing.assert_close(maps[0], maps[1])
