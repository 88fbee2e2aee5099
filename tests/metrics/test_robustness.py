"""Sensitivity, Lipschitz estimates, attacks and stability under them."""

import math

import numpy as np
import pytest
import torch
from tests.metrics.networks import Linear, picture, small_network

from xiqa.errors import MetricError
from xiqa.metrics.agreement.correlation import spearman
from xiqa.metrics.robustness.attack_stability import attack_stability, attacked
from xiqa.metrics.robustness.sensitivity import local_lipschitz, max_sensitivity
from xiqa.saliency.adversarial.attacks import deepfool, fgsm, pgd

IMAGE = picture(channels=1)


def gradient_map(network, target=1):
    def explain(images):
        with torch.enable_grad():
            leaf = images.detach().requires_grad_()
            return torch.autograd.grad(network(leaf)[:, target].sum(), leaf)[0].abs().sum(dim=1)

    return explain


def tripled(images):
    return 3 * images.sum(dim=1)


class TestSensitivity:
    def neighbours(self, radius, samples, seed):
        """The draws, one by one."""
        noise = torch.Generator().manual_seed(seed)
        draws = torch.rand((samples, *IMAGE.shape), generator=noise)
        return [IMAGE + radius * (2 * draw - 1) for draw in draws]

    def test_equals_the_replica(self):
        explain = gradient_map(small_network(channels=1))
        first = explain(IMAGE[None])[0]
        changes, ratios = [], []
        for copy in self.neighbours(0.5, 6, 3):
            distance = math.sqrt(((explain(copy[None])[0] - first) ** 2).sum().item())
            changes.append(distance)
            ratios.append(distance / math.sqrt(((copy - IMAGE) ** 2).sum().item()))
        settings = {"radius": 0.5, "samples": 6, "seed": 3}
        norm = math.sqrt((first**2).sum().item())
        assert max_sensitivity(explain, IMAGE, **settings) == pytest.approx(max(changes) / norm, rel=1e-4)
        absolute = max_sensitivity(explain, IMAGE, relative=False, **settings)
        assert absolute == pytest.approx(max(changes), rel=1e-4)
        assert local_lipschitz(explain, IMAGE, **settings) == pytest.approx(max(ratios), rel=1e-4)
        assert max(changes) > 0

    def test_a_linear_map_has_its_factor_as_lipschitz_constant(self):
        assert local_lipschitz(tripled, IMAGE) == pytest.approx(3.0, rel=1e-3)

    def test_a_constant_map_never_changes(self):
        assert max_sensitivity(lambda images: torch.ones(len(images), 4, 4), IMAGE) == 0.0

    def test_no_relative_change_of_nothing(self):
        assert math.isnan(max_sensitivity(lambda images: torch.zeros(len(images), 4, 4), IMAGE))

    def test_a_broken_map(self):
        def broken(images):
            return torch.full((len(images), 4, 4), math.nan)

        assert math.isnan(max_sensitivity(broken, IMAGE))
        assert math.isnan(local_lipschitz(broken, IMAGE))


class TestAttacks:
    weights = torch.randn(1, 24, 32, generator=torch.Generator().manual_seed(1))

    def test_fgsm_on_a_linear_score_goes_against_the_weights(self):
        moved = fgsm(Linear(self.weights), IMAGE, 1, epsilon=0.1) - IMAGE
        assert torch.allclose(moved, -0.1 * self.weights.sign(), atol=1e-6)

    def test_pgd_stays_in_its_box_and_reaches_its_corner(self):
        moved = pgd(Linear(self.weights), IMAGE, 1, epsilon=0.1, steps=12) - IMAGE
        assert moved.abs().max() <= 0.1 + 1e-6
        assert torch.allclose(moved, -0.1 * self.weights.sign(), atol=1e-6)

    def test_pgd_is_at_least_as_strong_as_fgsm(self):
        network = small_network(channels=1)

        def probability(image):
            with torch.no_grad():
                return network(image[None]).softmax(dim=1)[0, 0].item()

        before = probability(IMAGE)
        one = probability(fgsm(network, IMAGE, 0, epsilon=0.1))
        many = probability(pgd(network, IMAGE, 0, epsilon=0.1, steps=20, seed=None))
        assert before > one
        assert one >= many - 1e-4

    def test_deepfool_takes_the_shortest_way_over_a_linear_border(self):
        network = Linear(self.weights)
        score = (self.weights * IMAGE).sum()
        moved = deepfool(network, IMAGE, overshoot=0.02) - IMAGE
        expected = -1.02 * score / (self.weights**2).sum() * self.weights
        assert torch.allclose(moved, expected, rtol=1e-3, atol=1e-5)
        with torch.no_grad():
            assert network((IMAGE + moved)[None]).argmax() != network(IMAGE[None]).argmax()

    @pytest.mark.parametrize("classes", [1, 2, 5])
    def test_deepfool_changes_the_class_by_little(self, classes):
        network = small_network(channels=1, classes=classes)

        def winner(image):
            with torch.no_grad():
                logits = network(image[None])
            return bool(logits[0, 0] > 0) if classes == 1 else int(logits.argmax())

        moved = deepfool(network, IMAGE)
        assert winner(moved) != winner(IMAGE)
        assert (moved - IMAGE).norm() < IMAGE.norm()

    @pytest.mark.parametrize("attack", ["fgsm", "pgd", "deepfool"])
    def test_the_network_is_left_as_it_was(self, attack):
        network = small_network(channels=1).train()
        network[1].eval()
        for parameter in network[3].parameters():
            parameter.requires_grad_(False)
        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        modes = [module.training for module in network.modules()]
        with torch.inference_mode():
            moved = attacked(network, IMAGE, 1, attack, 0.05)
        assert not torch.equal(moved, IMAGE)
        assert not moved.requires_grad
        assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
        assert [module.training for module in network.modules()] == modes
        assert all(parameter.grad is None for parameter in network.parameters())
        assert not any(parameter.requires_grad for parameter in network[3].parameters())

    def test_unknown_attack(self):
        with pytest.raises(MetricError):
            attacked(small_network(channels=1), IMAGE, 1, "flood", 0.1)


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "deepfool"])
def test_stability_compares_the_maps_before_and_after(attack):
    network = small_network(channels=1)
    explain = gradient_map(network)
    ours = attack_stability(
        explain, IMAGE, network=network, target=0, attack=attack, epsilon=0.2, measure="spearman"
    )
    changed = attacked(network, IMAGE, 0, attack, 0.2)
    maps = [explain(one[None])[0].double().numpy() for one in (IMAGE, changed)]
    assert ours == pytest.approx(spearman(*maps))
    assert ours < 0.9999


def test_a_map_that_never_looks_at_the_image_is_stable():
    still = torch.as_tensor(np.random.default_rng(0).random((1, 8, 8)))
    network = small_network(channels=1)
    value = attack_stability(lambda images: still.expand(len(images), 8, 8), IMAGE, network=network, target=0)
    assert value == pytest.approx(1.0)
