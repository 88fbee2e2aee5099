"""Drift: the statistic over again by hand, false alarms at their level, shifts found, mixtures let be."""

import numpy as np
import pytest

from xiqa.errors import MetricError
from xiqa.models.card import Reference
from xiqa.scoring.drift import SHARES, drift_from, drifts


def slow_distance(values, good, poor):
    """The best mixture's largest distance, one distribution function at a time."""
    best = (9.0, 0.0)
    for share in SHARES:
        worst = 0.0
        for at in {*good, *poor}:
            parts = [sum(value <= at for value in part) / len(part) for part in (values, good, poor)]
            worst = max(worst, abs(parts[0] - (1 - share) * parts[1] - share * parts[2]))
        best = min(best, (worst, share))
    return best


def draw(rng, images, poor=0.0, shift=0.0):
    high = rng.random(images) < poor
    return np.where(high, rng.normal(4, 2, images), rng.normal(-3.5, 1, images)) + shift


def test_the_statistic_is_that_of_the_best_mixture():
    rng = np.random.default_rng(5)
    good, poor, values = draw(rng, 25).tolist(), draw(rng, 13, 1.0).tolist(), draw(rng, 41, 0.3).tolist()
    values[3] = good[7]  # a tie
    found = drift_from(values, good, poor, "probability", draws=120)
    distance, share = slow_distance(values, good, poor)
    assert found.statistic == pytest.approx(distance)
    assert found.poor[0] == pytest.approx(share)
    assert found.poor[1] <= found.poor[0] <= found.poor[2]


def test_the_median_has_its_exact_interval():
    values = [float(number) for number in range(1, 42)]
    found = drift_from(values, values, [100.0, 101.0], "distance", draws=120)
    # of 41 values the 14th and the 28th: at most 0.025 of the binomial lies beyond either
    assert found.median == (21.0, 14.0, 28.0)
    assert found.reference_median == 21.0


@pytest.mark.long
@pytest.mark.parametrize(("images", "poor"), [(40, 0.3), (300, 0.02)])
def test_false_alarms_keep_to_their_level(images, poor):
    alarms = []
    for seed in range(400):
        rng = np.random.default_rng((seed, images))
        good, bad, values = draw(rng, 90), draw(rng, 40, 1.0), draw(rng, images, poor)
        alarms.append(drift_from(values, good, bad, "probability", level=0.05, draws=99, seed=seed).moved)
    assert sum(alarms) <= 32  # 20 expected at most; 32 of 400 with a chance of 0.5 %


def test_another_share_of_poor_images_is_no_drift_and_a_shift_is():
    rng = np.random.default_rng(2)
    good, bad = draw(rng, 120), draw(rng, 60, 1.0)
    for share in (0.02, 0.6):
        assert not drift_from(draw(rng, 400, share), good, bad, "probability").moved
    found = drift_from(draw(rng, 400, 0.02, shift=1.0), good, bad, "probability")
    assert found.moved
    assert found.statistic > found.expected
    assert found.median[1] > found.reference_median


def test_two_measures_share_the_level_and_infinite_distances_are_far():
    rng = np.random.default_rng(4)
    reference = Reference(
        name="r",
        good=tuple(np.linspace(0, 0.3, 80)),
        poor=tuple(np.linspace(0.6, 1, 40)),
        good_distances=tuple(np.linspace(20, 30, 80)),
        poor_distances=tuple(np.linspace(21, 31, 40)),
    )
    same, far = rng.uniform(0, 0.3, 60), np.full(60, np.inf)
    probability, distance = drifts(reference, same, far, level=0.02)
    assert not probability.moved
    assert distance.moved
    assert distance.p_value == pytest.approx(1 / 1000)
    assert [drift.measure for drift in drifts(reference, same, None)] == ["probability"]


def test_too_few_images_or_draws_are_refused():
    good, poor = [0.1] * 9, [0.9] * 9
    with pytest.raises(MetricError, match="30 or more"):
        drift_from([0.5] * 29, good, poor, "probability")
    with pytest.raises(MetricError, match="poor images"):
        drift_from([0.5] * 30, good, [], "probability")
    with pytest.raises(MetricError, match="100 or more"):
        drift_from([0.5] * 30, good, poor, "probability", level=0.01, draws=98)
