"""What goes in comes out: conservation of LRP and completeness of DeepLIFT on the networks people use."""

import pytest
import torch
from tests.saliency.relevance.networks import MORE, REAL, batch, real

from xiqa.saliency.relevance import DeepLift, Ledger, Lrp, composite, deep_taylor, propagate
from xiqa.saliency.relevance.lrprules import Epsilon

NETWORKS = [*REAL, *(pytest.param(name, marks=pytest.mark.long) for name in MORE)]
SINGLE = {"zero": Lrp(Epsilon(), Epsilon()), "epsilon": Lrp(Epsilon(1e-3), Epsilon(1e-3))}


@pytest.mark.parametrize("rules", SINGLE)
@pytest.mark.parametrize("name", NETWORKS)
def test_lrp_conserves(name, rules):
    network, images = real(name), batch(name, 1)
    logit = float(network(images)[0, 1])
    assert abs(logit) > 1e-3  # a network that says nothing proves nothing
    ledger = Ledger()
    relevance = propagate(network, images, 1, SINGLE[rules], ledger=ledger)
    assert ledger.output == pytest.approx(logit, rel=1e-9)
    assert ledger.image == pytest.approx(float(relevance.sum()), rel=1e-9)
    assert ledger.gap < 1e-6
    if rules == "zero":
        assert ledger.absorbed == 0
    assert float(relevance.abs().max()) < 1e3 * abs(logit)  # nothing explodes


@pytest.mark.parametrize(
    "name",
    [
        "resnet34",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("resnet50", "vgg16_bn", "densenet121")),
    ],
)
def test_without_biases_all_relevance_comes_to_the_image_and_is_input_x_gradient(name):
    network, images = real(name, bias=False), batch(name, 2)
    relevance = propagate(network, images, torch.tensor([0, 2]), SINGLE["zero"])
    leaf = images.clone().requires_grad_()
    scores = network(leaf)[[0, 1], [0, 2]]
    (gradient,) = torch.autograd.grad(scores.sum(), leaf)
    torch.testing.assert_close(relevance, images * gradient, rtol=1e-7, atol=1e-12)
    torch.testing.assert_close(relevance.flatten(1).sum(1), scores.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", ["rescale", "revealcancel"])
@pytest.mark.parametrize("name", NETWORKS)
def test_deeplift_is_complete(name, rule):
    network, images, reference = real(name), batch(name, 2), batch(name, 1, seed=5)
    target = torch.tensor([1, 2])
    change = (network(images) - network(reference))[[0, 1], target]
    assert bool((change.abs() > 1e-4).all())
    rules = DeepLift("none" if rule == "rescale" else "all")
    found = propagate(network, images, target, rules, reference=reference)
    torch.testing.assert_close(found.flatten(1).sum(1), change, rtol=1e-6, atol=0)


@pytest.mark.parametrize("reference", [0.0, "constant"])
def test_deeplift_stays_finite_where_a_layer_norm_sees_a_constant_reference(reference):
    network, images = real("convnext_tiny"), batch("convnext_tiny", 1)
    base = torch.zeros_like(images) if reference == 0.0 else torch.full_like(images, 0.3)
    found = propagate(network, images, 0, DeepLift(), reference=base)
    change = float((network(images) - network(base))[0, 0])
    assert float(found.sum()) == pytest.approx(change, rel=1e-6)
    assert float(found.abs().sum()) < 1e3  # logits are of the order of 1


@pytest.mark.parametrize(
    "name", ["resnet34", "efficientnet_b0", pytest.param("convnext_tiny", marks=pytest.mark.long)]
)
@pytest.mark.parametrize(
    "rules",
    [
        composite("epsilon_plus"),
        composite("epsilon_plus_flat"),
        composite("epsilon_gamma_box"),
        composite("epsilon_alpha2_beta1"),
        composite("epsilon_alpha2_beta1_flat"),
        deep_taylor(),
        deep_taylor(bounded=False),
    ],
    ids=["plus", "plus flat", "gamma box", "alpha beta", "alpha beta flat", "deep taylor", "deep taylor w2"],
)
def test_composites_account_for_all_and_do_not_explode(name, rules):
    network, images = real(name), batch(name, 1)
    ledger = Ledger()
    relevance = propagate(network, images, 1, rules, ledger=ledger)
    assert bool(relevance.isfinite().all())
    assert ledger.gap < 1e-6
    assert float(relevance.abs().sum()) < 100 * abs(ledger.output)


def test_deep_taylor_keeps_one_sign_and_the_sum_on_a_plain_network():
    network, images = real("vgg16_bn"), batch("vgg16_bn", 1)
    logits = network(images)[0]
    target = int(logits.argmax())
    assert logits[target] > 0
    relevance = propagate(network, images, target, deep_taylor())
    assert bool((relevance >= -1e-12).all())
    torch.testing.assert_close(relevance.sum(), logits[target], rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "name", ["resnet34", "efficientnet_b0", pytest.param("convnext_tiny", marks=pytest.mark.long)]
)
@pytest.mark.parametrize(
    "rules", [composite("epsilon_gamma_box"), deep_taylor(), DeepLift()], ids=lambda r: type(r).__name__
)
def test_a_batch_is_its_images_one_by_one(name, rules):
    network, images = real(name), batch(name, 2)
    reference = batch(name, 1, seed=5) if isinstance(rules, DeepLift) else None
    together = propagate(network, images, torch.tensor([0, 2]), rules, reference=reference)
    for place, target in enumerate((0, 2)):
        alone = propagate(network, images[place : place + 1], target, rules, reference=reference)
        torch.testing.assert_close(together[place], alone[0], rtol=1e-8, atol=1e-12)
