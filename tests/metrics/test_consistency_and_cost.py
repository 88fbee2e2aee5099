"""Difference of Means, and what a map costs."""

import math
import time

import numpy as np
import pytest
import torch
from tests.metrics.networks import picture, small_network
from tests.metrics.test_robustness import gradient_map

from xiqa.errors import MetricError
from xiqa.metrics.consistency import difference_of_means
from xiqa.metrics.cost import backward_passes, counting_passes, forward_passes, seconds

IMAGE = picture()


def linear_kernel_mmd(a, b):
    """Maximum mean discrepancy from the kernel's means over all pairs."""

    def mean_kernel(p, q):
        return sum(x * y for x in p for y in q) / (len(p) * len(q))

    return math.sqrt(max(0.0, mean_kernel(a, a) + mean_kernel(b, b) - 2 * mean_kernel(a, b)))


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_linear_kernel_mmd_in_one_dimension(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.8, 0.05, 7), rng.normal(0.7, 0.02, 5)
    assert difference_of_means([a, b]) == pytest.approx(linear_kernel_mmd(a, b), abs=1e-7)


def test_many_architectures():
    scores = [[0.9, 0.7], [0.5], [0.6]]  # means 0.8, 0.5, 0.6
    assert difference_of_means(scores) == pytest.approx((0.3 + 0.2 + 0.1) / 3)
    assert difference_of_means(scores, many="range") == pytest.approx(0.3)
    assert difference_of_means(scores[:2], many="range") == pytest.approx(difference_of_means(scores[:2]))


def test_images_without_a_score_are_left_out():
    assert difference_of_means([[0.5, math.nan], [0.25, 0.25]]) == pytest.approx(0.25)
    assert math.isnan(difference_of_means([[math.nan], [0.2]]))


def test_one_architecture_has_no_consistency():
    with pytest.raises(MetricError):
        difference_of_means([[0.5]])
    with pytest.raises(MetricError):
        difference_of_means([[0.5], [0.4]], many="median")


def test_passes_are_counted_in_images():
    network = small_network()
    explain = gradient_map(network)
    assert forward_passes(network, explain, IMAGE) == 1
    assert backward_passes(network, explain, IMAGE) == 1

    def averaged(images):
        return explain(images.repeat(7, 1, 1, 1)).mean(dim=0, keepdim=True)

    assert forward_passes(network, averaged, IMAGE) == 7
    assert backward_passes(network, averaged, IMAGE) == 7
    with torch.no_grad(), counting_passes(network) as passes:
        network(IMAGE[None])
    assert (passes.forward, passes.backward) == (1, 0)
    assert not network._forward_hooks


def test_seconds_are_the_median_of_the_timed_runs():
    waits = iter([0.2, 0.01, 0.03, 0.02])

    def explain(images):
        time.sleep(next(waits))
        return images.sum(dim=1)

    assert 0.015 < seconds(small_network(), explain, IMAGE, repeats=3) < 0.1
