"""Intervals by patient: exact where every resample agrees, none where the images tell nothing."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from xiqa.errors import XiqaError
from xiqa.metrics.roc import roc_auc
from xiqa.scoring.bootstrap import bootstrap_means, bootstrap_values
from xiqa.scoring.evaluation import auc_interval
from xiqa.scoring.intervals import (
    exact_ends,
    independent_pairs,
    interval_of,
    mean_interval,
    statistic_interval,
)


def interval(values, patients=None, **options):
    table = np.asarray(values, float)[:, None]
    return mean_interval(values, bootstrap_means(table, patients, resamples=500)[:, 0], patients, **options)


@pytest.mark.parametrize("trials", [1, 6, 15, 40])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_exact_ends_are_clopper_and_pearsons(trials, level):
    for hits, value in ((trials, 1.0), (0, 0.0)):
        other = binomtest(hits, trials).proportion_ci(level, method="exact")
        assert exact_ends(value, trials, level) == pytest.approx((other.low, other.high))


def test_a_range_from_minus_one_to_one_is_a_share_stretched():
    share = exact_ends(0.0, 7)
    assert exact_ends(-1.0, 7, bounds=(-1.0, 1.0)) == pytest.approx([2 * end - 1 for end in share])


def test_all_hits_of_ten_patients_are_not_certain():
    found = interval([1.0] * 30, [f"p{place % 10}" for place in range(30)])
    assert (found.value, found.high, found.images, found.patients) == (1.0, 1.0, 30, 10)
    assert found.low == pytest.approx(0.025**0.1)


def test_patients_of_equal_means_know_of_no_spread():
    """Each patient has one hit and one miss: all resamples are one half, and none tells how sure that is."""
    found = interval([0.0, 1.0] * 8, [f"p{place // 2}" for place in range(16)])
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_the_patients_counted_are_those_with_a_score():
    found = interval([1.0, 1.0, math.nan, 1.0], ["a", "a", "b", "c"])
    assert (found.images, found.patients) == (3, 2)
    assert found.low == pytest.approx(0.025**0.5)


def test_one_patient_has_no_interval_but_at_a_bound():
    alone = interval([0.2, 0.9, 0.4], ["a"] * 3)
    assert (alone.value, alone.images, alone.patients) == (pytest.approx(0.5), 3, 1)
    assert math.isnan(alone.low)
    assert interval([0.0] * 3, ["a"] * 3).high == pytest.approx(0.975)


def test_a_score_beyond_the_range_has_no_exact_interval():
    seconds = interval([7.0] * 9)
    assert math.isnan(seconds.low)
    assert math.isnan(interval([1.0] * 9, bounds=(0.0, math.inf)).low)


def test_the_exact_interval_covers_as_often_as_it_says():
    """A detector that hits 90 % of patients, eight of them: the truth is missed in 5 % at the most."""
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(400):
        hits = (rng.random(8) < 0.9).astype(float)
        found = interval(hits)
        missed += hits.all() and not found.low <= 0.9 <= found.high
    assert missed <= 400 * 0.05


def test_an_interval_tells_its_n():
    assert str(interval([0.0, 1.0, 1.0, math.nan])).endswith("(n = 3)")
    assert str(interval([0.3] * 4)) == "0.300 (n = 4)"


def test_the_interval_of_a_perfect_auc_counts_pairs_of_patients():
    scores, poor = np.array([0.9, 0.8, 0.7, 0.1, 0.2, 0.3]), np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    found = auc_interval(scores, poor, ["a", "b", "c", "d", "e", "f"])
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 3))
    assert independent_pairs(poor, ["a", "a", "a", "d", "e", "f"]) == 1
    assert independent_pairs(poor, ["a", "b", "c", "a", "b", "c"]) == 1
    assert independent_pairs([True, False], ["a", "a"]) == 0


def test_a_statistic_and_a_mean_are_resampled_alike():
    rng = np.random.default_rng(2)
    values, patients = rng.random(50), [f"p{number}" for number in rng.integers(0, 13, 50)]
    means = bootstrap_means(values[:, None], patients, resamples=1500, seed=3)[:, 0]
    single = bootstrap_values(lambda pick: float(values[pick].mean()), patients, 50, resamples=1500, seed=3)
    np.testing.assert_allclose(means, single)
    whole = statistic_interval(lambda pick: float(values[pick].mean()), patients, resamples=1500, seed=3)
    assert (whole.low, whole.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    assert (whole.images, whole.patients) == (50, 13)


def test_nonsense_is_refused():
    with pytest.raises(XiqaError, match="confidence"):
        interval_of(0.5, np.ones(3), images=3, patients=3, level=95)
    with pytest.raises(XiqaError, match="resample"):
        bootstrap_means(np.ones((3, 1)), resamples=0)
    with pytest.raises(XiqaError, match="resample"):
        bootstrap_means(np.ones((0, 1)))


def test_the_area_is_that_of_all_pairs():
    rng = np.random.default_rng(4)
    scores, labels = rng.integers(0, 7, 40) / 7, rng.random(40) < 0.3
    slow = np.mean([(a > b) + 0.5 * (a == b) for a in scores[labels] for b in scores[~labels]])
    assert 0.1 < slow < 0.9
    assert roc_auc(scores, labels) == pytest.approx(slow)
    assert math.isnan(roc_auc(scores, np.ones(40)))
    with pytest.raises(XiqaError, match="do not fit"):
        roc_auc([0.1, math.nan], [0, 1])
    with pytest.raises(XiqaError, match="do not fit"):
        roc_auc([0.1, 0.2], [0, 1, 1])


def test_what_is_at_no_end_has_no_exact_interval_and_the_level_is_19_of_20():
    assert all(math.isnan(end) for end in exact_ends(0.5, 5))
    assert all(math.isnan(end) for end in exact_ends(1.0, 0))
    assert exact_ends(1.0, 3) == exact_ends(1.0, 3, 0.95) != exact_ends(1.0, 3, 0.9)
    draws = np.linspace(0, 1, 1001)
    assert interval_of(0.5, draws, images=9, patients=9).low == pytest.approx(0.025)
    for level in (0, 1):
        with pytest.raises(XiqaError, match="confidence"):
            interval_of(0.5, draws, images=9, patients=9, level=level)
