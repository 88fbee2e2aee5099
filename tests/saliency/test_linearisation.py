"""Gradient, input x gradient, integrated gradients, SmoothGrad: closed forms, loops, captum."""

import warnings

import captum.attr
import numpy as np
import pytest
import torch
from tests.saliency.small import Convolutional, LinearModel, build, images
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.saliency.capture import ForwardPass
from xiqa.saliency.engine import attribute
from xiqa.saliency.gradients.integratedgradients import completeness_gap, integrated
from xiqa.saliency.gradients.paths import noisy_copies, path_nodes

TARGET = torch.tensor([2, 0])


def one(network, x, method, target=TARGET, **more):
    (maps,) = attribute(network, x, method, target=target, **more).values()
    return maps


def record(network, x, target=TARGET):
    return ForwardPass(network, x, image_grad=True).backward(target, image_grad=True)[1]


@pytest.mark.parametrize("norm", ["max", "l2", "l1", "signed"])
def test_gradient_and_product_agree_with_captum(norm):
    network, x = build(Convolutional), images()
    over = {
        "max": lambda v: v.abs().amax(1),
        "l2": lambda v: v.norm(dim=1),
        "l1": lambda v: v.abs().sum(1),
        "signed": lambda v: v.sum(1),
    }[norm]
    witness = captum.attr.Saliency(network).attribute(x.clone(), TARGET, abs=False)
    torch.testing.assert_close(one(network, x, f"gradient:norm={norm}"), over(witness))
    witness = captum.attr.InputXGradient(network).attribute(x.clone(), TARGET)
    torch.testing.assert_close(one(network, x, f"inputxgradient:norm={norm}"), over(witness))
    with pytest.raises(SaliencyError, match="l2"):
        one(network, x, "gradient:norm=mean")


def test_the_gradient_is_the_limit_of_differences():
    network, x = build(Convolutional, activation=nn.Tanh), images(1)
    found = one(network, x, "gradient:norm=signed", target=1)
    step = 1e-5
    for y, column in ((0, 0), (3, 4), (5, 8)):
        up, down = x.clone(), x.clone()
        up[:, :, y, column] += step
        down[:, :, y, column] -= step
        slope = (network(up) - network(down))[0, 1] / (2 * step)
        assert float(found[0, y, column]) == pytest.approx(float(slope.detach()), rel=1e-6)


def test_input_times_gradient_sums_to_the_logit_without_biases():
    network, x = build(Convolutional), images()
    for name, value in network.named_parameters():
        if name.endswith("bias"):
            value.data.zero_()
    found = one(network, x, "inputxgradient").sum(dim=(1, 2))
    torch.testing.assert_close(found, network(x).detach().gather(1, TARGET[:, None])[:, 0])


class TestIntegratedGradients:
    @pytest.mark.parametrize("path", ["gausslegendre", "midpoint", "trapezoid", "right"])
    def test_is_exact_on_a_linear_model(self, path):
        network, x = build(LinearModel), images()
        found = one(network, x, f"integratedgradients:path={path},steps=3,baseline=mean")
        hidden = x.mean(dim=(2, 3), keepdim=True)
        weights = torch.stack([network.weight(target) for target in TARGET])
        torch.testing.assert_close(found, ((x - hidden) * weights).sum(dim=1))

    def test_occlusion_shapley_values_and_integrated_gradients_agree_on_a_linear_model(self):
        network, x = build(LinearModel, size=(2, 2, 4)), images(size=(2, 2, 4))
        gradients = one(network, x, "integratedgradients")
        torch.testing.assert_close(one(network, x, "occlusion:window=1,stride=1,output=logit"), gradients)
        shapley = one(network, x, "kernelshap:regions=grid,count=8,samples=300,baseline=0,output=logit")
        torch.testing.assert_close(shapley, gradients)

    @pytest.mark.parametrize("activation", [nn.Tanh, nn.SiLU, nn.GELU])
    def test_is_complete_on_smooth_networks(self, activation):
        network, x = build(Convolutional, activation=activation), images()
        given = record(network, x)
        values = integrated(given, torch.zeros_like(x), steps=32, rule="gausslegendre")
        assert completeness_gap(given, torch.zeros_like(x), values).max() < 1e-6

    @pytest.mark.parametrize("path", ["gausslegendre", "midpoint"])
    def test_the_error_on_relu_networks_falls_with_the_steps(self, path):
        network, x = build(Convolutional, hidden=12), images(8, (2, 12, 12))
        given = record(network, x, torch.zeros(8, dtype=torch.long))
        gaps = [
            float(completeness_gap(given, x * 0, integrated(given, x * 0, steps=n, rule=path)).median())
            for n in (4, 32, 256)
        ]
        assert gaps[0] > 3 * gaps[1] > 9 * gaps[2]
        assert gaps[2] < 0.01

    def test_tells_where_it_is_not_complete(self):
        network, x = build(Convolutional), images()
        with pytest.warns(UserWarning, match="miss completeness"):
            one(network, x, "integratedgradients:path=right,steps=1,tolerance=0.001")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            one(network, x, "integratedgradients:steps=200,tolerance=0.01")

    def test_agrees_with_captum(self):
        network, x = build(Convolutional), images()
        witness = captum.attr.IntegratedGradients(network).attribute(
            x, torch.ones_like(x), TARGET, n_steps=20, method="gausslegendre"
        )
        found = one(network, x, "integratedgradients:steps=20,baseline=1")
        torch.testing.assert_close(found, witness.sum(dim=1))

    def test_rules_are_quadratures(self):
        for rule in ("gausslegendre", "midpoint", "trapezoid", "right"):
            nodes, weights = map(np.array, path_nodes(400, rule))
            assert weights.sum() == pytest.approx(1)
            assert (weights * np.exp(nodes)).sum() == pytest.approx(np.e - 1, rel=5e-3)
        nodes, weights = map(np.array, path_nodes(3, "gausslegendre"))
        assert (weights * nodes**5).sum() == pytest.approx(1 / 6)
        with pytest.raises(SaliencyError, match="midpoint"):
            path_nodes(3, "simpson")
        with pytest.raises(SaliencyError, match="few"):
            path_nodes(1, "trapezoid")


class TestSmoothGrad:
    def test_is_the_gradient_of_a_linear_model(self):
        network, x = build(LinearModel), images()
        torch.testing.assert_close(one(network, x, "smoothgrad:samples=3"), one(network, x, "gradient"))

    @pytest.mark.parametrize("squared", [True, False])
    def test_agrees_with_the_loop(self, squared):
        network, x = build(Convolutional), images()
        total = torch.zeros_like(x)
        for copies in noisy_copies(x, 0.2, 5, 3):
            for place, copy in enumerate(copies):
                leaf = copy[None].clone().requires_grad_()
                network(leaf)[0, TARGET[place]].backward()
                total[place] += leaf.grad[0] ** (2 if squared else 1) / 5
        network.zero_grad()
        text = f"smoothgrad:samples=5,spread=0.2,seed=3,squared={str(squared).lower()}"
        torch.testing.assert_close(one(network, x, text), total.abs().amax(dim=1))

    def test_noise_has_each_images_own_level_and_does_not_depend_on_the_batch(self):
        x = images(3, (2, 40, 40))
        x[1] *= 10
        together = torch.stack(list(noisy_copies(x, 0.1, 4, 7)))
        alone = torch.stack(list(noisy_copies(x[1:2], 0.1, 4, 7)))
        assert torch.equal(together[:, 1:2], alone)
        for place in range(3):
            level = (together[:, place] - x[place]).std() / (x[place].max() - x[place].min())
            assert float(level) == pytest.approx(0.1, rel=0.05)
        assert not torch.equal(together, torch.stack(list(noisy_copies(x, 0.1, 4, 8))))


@pytest.mark.parametrize(
    "method", ["gradient", "inputxgradient", "integratedgradients:steps=4", "smoothgrad:samples=2"]
)
def test_a_one_logit_head_explains_its_two_classes_with_opposite_signs(method):
    network, x = build(Convolutional, classes=1), images()
    text = f"{method}{',' if ':' in method else ':'}norm=signed"
    torch.testing.assert_close(one(network, x, text, target=1), -one(network, x, text, target=0))
