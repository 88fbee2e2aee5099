"""Drops, gains, coherency, infidelity and sensitivity-n against loops and closed forms."""

import math

import numpy as np
import pytest
import torch
from tests.metrics.networks import Linear, picture, small_network
from tests.metrics.truths import random_map
from tests.reference.metrics import faithfulness as replica

from xiqa.errors import MetricError
from xiqa.metrics.faithfulness.adcc import adcc, adcc_of_means, coherency, map_complexity
from xiqa.metrics.faithfulness.average_drop import average_drop, average_gain, increase_in_confidence
from xiqa.metrics.faithfulness.infidelity import infidelity
from xiqa.metrics.faithfulness.sensitivity_n import sensitivity_n
from xiqa.saliency.probe import TorchProbe

NETWORK = small_network()
PROBE = TorchProbe(NETWORK)
IMAGE = picture()
SALIENCY = random_map(3) - 0.4
CONSTANT = np.full(SALIENCY.shape, 0.3)


def shown(saliency, fill=0.0):
    """The image through the stretched map, pixel by pixel."""
    low, high = saliency.min(), saliency.max()
    copy = IMAGE.clone()
    for y in range(saliency.shape[0]):
        for x in range(saliency.shape[1]):
            s = (saliency[y, x] - low) / (high - low)
            copy[:, y, x] = s * IMAGE[:, y, x] + (1 - s) * fill
    return copy


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("fill", [0.0, 0.7])
def test_drop_increase_and_gain_equal_the_replica(target, fill):
    before = replica.probability(NETWORK, IMAGE, target)
    after = replica.probability(NETWORK, shown(SALIENCY, fill), target)
    arguments = PROBE, IMAGE, SALIENCY, target
    drop, gain = max(0, before - after) / before, max(0, after - before) / (1 - before)
    assert average_drop(*arguments, fill=fill) == pytest.approx(drop, abs=1e-5)
    assert average_gain(*arguments, fill=fill) == pytest.approx(gain, abs=1e-5)
    assert increase_in_confidence(*arguments, fill=fill) == float(after > before)
    assert min(drop, gain) == 0 < max(drop, gain)


@pytest.mark.parametrize("metric", [average_drop, average_gain, increase_in_confidence])
def test_logits_are_refused(metric):
    with pytest.raises(MetricError, match="probability"):
        metric(PROBE, IMAGE, SALIENCY, 1, output="logit")


def test_adding_a_constant_to_the_logits_changes_no_drop():
    def shifted(images):
        return PROBE(images) - 100

    arguments = IMAGE, SALIENCY, 1
    assert average_drop(shifted, *arguments) == pytest.approx(average_drop(PROBE, *arguments), abs=1e-5)


def centre_map(images):
    """A map that never looks at the image."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in images.shape[-2:]), indexing="ij")
    return (-(x**2) - y**2).expand(len(images), -1, -1)


def test_coherency_of_a_map_that_stays_and_of_one_that_turns_over():
    still = centre_map(IMAGE[None])[0].numpy()
    assert coherency(None, IMAGE, still, 1, explain=centre_map) == pytest.approx(1.0)
    assert coherency(None, IMAGE, -still, 1, explain=centre_map) == pytest.approx(0.0)
    assert coherency(None, IMAGE, -still, 1, explain=centre_map, scale="clipped") == 0.0
    unrelated = coherency(None, IMAGE, SALIENCY, 1, explain=centre_map)
    assert unrelated == pytest.approx(0.5, abs=0.1)
    with pytest.raises(MetricError):
        coherency(None, IMAGE, still, 1, explain=centre_map, scale="squared")


def test_coherency_explains_what_the_map_shows():
    seen = []

    def explain(images):
        seen.append(images)
        return centre_map(images)

    coherency(None, IMAGE, SALIENCY, 1, explain=explain, fill=0.2)
    assert torch.allclose(seen[0][0], shown(SALIENCY, 0.2), atol=1e-6)


def test_adcc_is_the_harmonic_mean_of_its_parts():
    parts = [
        coherency(PROBE, IMAGE, SALIENCY, 1, explain=centre_map),
        1 - map_complexity(SALIENCY),
        1 - average_drop(PROBE, IMAGE, SALIENCY, 1),
    ]
    assert adcc(PROBE, IMAGE, SALIENCY, 1, explain=centre_map) == pytest.approx(3 / sum(1 / p for p in parts))
    assert adcc_of_means(0.2, 1.0, 0.1) == 0.0
    assert math.isnan(adcc_of_means(math.nan, 0.5, 0.5))
    # per image and over the data set differ
    images = [(0.9, 0.1, 0.1), (0.3, 0.5, 0.9)]
    assert np.mean([adcc_of_means(*i) for i in images]) != pytest.approx(
        adcc_of_means(*np.mean(images, axis=0))
    )


class TestExactLinearAttribution:
    weights = torch.randn(2, 24, 32, generator=torch.Generator().manual_seed(5))
    image = picture(channels=2, seed=6)
    probe = TorchProbe(Linear(weights))
    contributions = (weights * image).sum(dim=0).double().numpy()
    gradient = weights.sum(dim=0).double().numpy()

    def test_sensitivity_n_is_one_for_every_size_of_set(self):
        for share in (0.01, 0.1, 0.5, 0.9):
            assert sensitivity_n(
                self.probe, self.image, self.contributions, 1, shares=(share,)
            ) == pytest.approx(1.0, abs=1e-5)
        assert sensitivity_n(self.probe, self.image, self.contributions, 1, region=4) > 0.99999

    def test_sensitivity_n_of_the_other_class_is_minus_one_and_of_noise_about_none(self):
        assert sensitivity_n(self.probe, self.image, self.contributions, 0) == pytest.approx(-1.0, abs=1e-5)
        assert abs(sensitivity_n(self.probe, self.image, random_map(0), 1)) < 0.3

    @pytest.mark.parametrize(("perturbation", "saliency"), [("noise", gradient), ("square", contributions)])
    def test_infidelity_is_nothing(self, perturbation, saliency):
        settings = {"perturbation": perturbation, "samples": 40}
        exact = infidelity(self.probe, self.image, saliency, 1, **settings)
        wrong = infidelity(self.probe, self.image, -saliency, 1, **settings)
        assert exact < 1e-6 * wrong
        assert wrong > 0.1

    def test_infidelity_of_a_multiple_is_nothing_once_scaled(self):
        settings = {"samples": 40, "square": 5}
        arguments = self.probe, self.image, 17 * self.contributions, 1
        assert infidelity(*arguments, **settings) > 1
        assert infidelity(*arguments, scaled=True, **settings) < 1e-6

    def test_infidelity_of_a_map_off_by_a_constant(self):
        # every square of 5 x 5 is then predicted wrong by exactly 25
        off = self.contributions + 1.0
        assert infidelity(self.probe, self.image, off, 1, square=5) == pytest.approx(625, rel=1e-4)


def test_sensitivity_n_equals_the_replica():
    rng = np.random.default_rng(11)
    regions = 6 * 8
    falls, sums = [], []
    draws = rng.random((30, regions))
    for draw in draws:
        chosen = sorted(range(regions), key=lambda i: draw[i])[:10]
        copy, total = IMAGE.clone(), 0.0
        for i in chosen:
            top, left = 4 * (i // 8), 4 * (i % 8)
            for y in range(top, top + 4):
                for x in range(left, left + 4):
                    total += SALIENCY[y, x]
                    copy[:, y, x] = 0
        sums.append(total)
        falls.append(replica.logit(NETWORK, IMAGE, 1) - replica.logit(NETWORK, copy, 1))
    ours = sensitivity_n(PROBE, IMAGE, SALIENCY, 1, shares=(10 / 48,), samples=30, region=4, seed=11)
    assert ours == pytest.approx(replica.correlation(sums, falls), abs=1e-4)


def test_sensitivity_n_without_variation_is_not_defined():
    assert math.isnan(sensitivity_n(PROBE, IMAGE, CONSTANT, 1))
    assert math.isnan(sensitivity_n(PROBE, IMAGE, SALIENCY, 1, shares=(1.0,)))
    with pytest.raises(MetricError):
        sensitivity_n(PROBE, IMAGE, SALIENCY, 1, shares=(0.0,))


@pytest.mark.parametrize("metric", [average_drop, average_gain, increase_in_confidence])
def test_nothing_is_said_of_a_constant_map(metric):
    assert math.isnan(metric(PROBE, IMAGE, CONSTANT, 1))


def test_a_probability_of_zero_cannot_drop_and_one_of_one_cannot_gain():
    def sure(images):
        return torch.tensor([[-1e4, 1e4]]).expand(len(images), 2)

    assert average_drop(sure, IMAGE, SALIENCY, 0) == 0
    assert average_gain(sure, IMAGE, SALIENCY, 1) == 0


def test_unknown_perturbation():
    with pytest.raises(MetricError):
        infidelity(PROBE, IMAGE, SALIENCY, 1, perturbation="rain")
