"""Bootstrap by patient, paired differences, Holm's correction and ranks, against loops and theory."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from xiqa.errors import XiqaError
from xiqa.scoring.bootstrap import bootstrap_means
from xiqa.scoring.differences import holm, mean_intervals, paired_differences, rank_stability
from xiqa.scoring.intervals import statistic_interval

RNG = np.random.default_rng(0)
PATIENTS = [f"p{number}" for number in RNG.integers(0, 40, 100)]
TABLE = RNG.normal(size=(100, 3))


def slow_bootstrap(table, patients, resamples, seed):
    """Draw patients, gather their images one by one, average."""
    names = sorted(set(patients))
    rng = np.random.default_rng(seed)
    means = []
    for row in rng.integers(0, len(names), (resamples, len(names))):
        images = [i for patient in row for i, name in enumerate(patients) if name == names[patient]]
        columns = []
        for j in range(table.shape[1]):
            values = [table[i, j] for i in images if not math.isnan(table[i, j])]
            columns.append(sum(values) / len(values) if values else math.nan)
        means.append(columns)
    return np.asarray(means)


class TestBootstrap:
    def test_equals_the_loop(self):
        ours = bootstrap_means(TABLE, PATIENTS, resamples=30, seed=4)
        assert ours == pytest.approx(slow_bootstrap(TABLE, PATIENTS, 30, 4))

    def test_equals_the_loop_with_undefined_scores(self):
        table = np.where(RNG.random(TABLE.shape) < 0.3, np.nan, TABLE)
        ours = bootstrap_means(table, PATIENTS, resamples=30, seed=4)
        assert ours == pytest.approx(slow_bootstrap(table, PATIENTS, 30, 4))

    def test_more_resamples_than_are_drawn_at_once(self):
        assert bootstrap_means(TABLE, PATIENTS, resamples=2500).shape == (2500, 3)

    def test_its_spread_is_the_standard_error(self):
        values = RNG.normal(size=(400, 1))
        draws = bootstrap_means(values)
        assert draws.std() == pytest.approx(values.std() / 20, rel=0.05)

    def test_patients_count_and_not_images(self):
        """Ten copies of each image tell nothing new."""
        values = RNG.normal(size=(50, 1))
        once = bootstrap_means(values, [str(i) for i in range(50)])
        copies = bootstrap_means(np.repeat(values, 10, axis=0), [str(i // 10) for i in range(500)])
        naive = bootstrap_means(np.repeat(values, 10, axis=0))
        assert copies.std() == pytest.approx(once.std(), rel=0.05)
        assert naive.std() < 0.5 * once.std()

    def test_the_interval_covers_the_truth_as_often_as_it_says(self):
        covered = 0
        for seed in range(200):
            values = np.random.default_rng(seed).normal(loc=1.0, size=60)
            interval = mean_intervals({"m": values}, level=0.9, resamples=500, seed=seed)["m"]
            covered += interval.low <= 1.0 <= interval.high
        assert 0.82 <= covered / 200 <= 0.96

    def test_a_column_without_scores(self):
        found = mean_intervals({"a": [1.0, 2.0], "b": [math.nan, math.nan]})
        assert math.isnan(found["b"].value)
        assert found["b"].images == 0
        assert found["a"].images == 2

    def test_arrays_that_do_not_fit(self):
        with pytest.raises(XiqaError, match="different images"):
            mean_intervals({"a": [1.0], "b": [1.0, 2.0]})
        with pytest.raises(XiqaError, match="patients"):
            mean_intervals({"a": [1.0, 2.0]}, ["p"])


def test_a_statistic_of_the_whole_set():
    values = TABLE[:, 0]
    ours = statistic_interval(lambda index: float(values[index].mean()), PATIENTS, resamples=2000)
    fast = mean_intervals({"m": values}, PATIENTS)["m"]
    assert ours.value == pytest.approx(fast.value)
    assert (ours.low, ours.high) == pytest.approx((fast.low, fast.high), abs=0.03)


class TestHolm:
    def test_equals_the_definition(self):
        p = [0.001, 0.04, 0.03, 0.5, 0.012]
        ordered = sorted(p)
        for value, adjusted in zip(p, holm(p), strict=True):
            k = ordered.index(value)
            assert adjusted == pytest.approx(max(min(1.0, (5 - j) * ordered[j]) for j in range(k + 1)))

    def test_one_test_needs_no_correction(self):
        assert holm([0.04]) == [0.04]
        assert holm([]) == []

    def test_undefined_tests_do_not_count(self):
        adjusted = holm([0.04, math.nan, 0.01])
        assert adjusted[0] == pytest.approx(0.04)
        assert adjusted[2] == pytest.approx(0.02)
        assert math.isnan(adjusted[1])


class TestDifferences:
    def scores(self, shift, count=120, seed=1):
        rng = np.random.default_rng(seed)
        base = rng.normal(size=count)
        return {"a": base + shift + 0.3 * rng.normal(size=count), "b": base, "c": rng.normal(size=count)}

    def test_pairing_finds_what_intervals_of_means_do_not(self):
        scores = self.scores(0.2)
        means = mean_intervals(scores)
        assert means["a"].low < means["b"].high  # they overlap
        (first, *_) = paired_differences(scores)
        assert (first.first, first.second) == ("a", "b")
        assert first.mean.low > 0
        assert first.p < 0.001
        assert first.p_holm == pytest.approx(3 * first.p)

    def test_p_value_is_close_to_that_of_the_t_test(self):
        scores = self.scores(0.05)
        ours = paired_differences({k: scores[k] for k in "ab"})[0]
        expected = scipy_stats.ttest_rel(scores["a"], scores["b"]).pvalue
        assert 0.01 < expected < 0.9
        assert ours.p == pytest.approx(expected, abs=0.03)

    def test_false_alarms_are_as_rare_as_promised(self):
        alarms = sum(
            paired_differences({k: self.scores(0.0, seed=s)[k] for k in "ab"}, resamples=500)[0].p < 0.05
            for s in range(200)
        )
        assert alarms / 200 < 0.1

    def test_against_a_reference(self):
        found = paired_differences(self.scores(0.2), reference="b")
        assert [(d.first, d.second) for d in found] == [("a", "b"), ("c", "b")]
        with pytest.raises(XiqaError):
            paired_differences(self.scores(0.2), reference="z")

    def test_only_images_that_both_methods_score(self):
        scores = {"a": [1.0, 2.0, math.nan, 5.0], "b": [0.5, 1.5, 9.0, math.nan]}
        found = paired_differences(scores)[0]
        assert found.mean.value == pytest.approx(0.5)
        assert found.mean.images == 2

    def test_equal_methods_do_not_differ(self):
        values = RNG.normal(size=30)
        found = paired_differences({"a": values, "b": values.copy()})[0]
        assert found.mean.value == 0
        assert found.p == 1.0

    def test_one_method_has_nobody_to_differ_from(self):
        assert paired_differences({"a": [1.0]}) == []


class TestRanks:
    def test_a_clear_order_is_firm_and_a_draw_is_not(self):
        rng = np.random.default_rng(3)
        noise = rng.normal(size=(2, 200))
        scores = {"good": noise[0] + 3, "even": noise[1], "odd": noise[1][::-1], "bad": noise[0] - 3}
        found = rank_stability(scores)
        assert found["good"].rank == found["good"].low == found["good"].high == 1
        assert found["good"].best == 1.0
        assert found["bad"].rank == 4
        assert {found["even"].rank, found["odd"].rank} <= {2.0, 2.5, 3.0}  # one mean, but for rounding
        assert found["even"].low == 2
        assert found["even"].high == 3
        assert found["even"].expected == pytest.approx(2.5, abs=0.1)

    def test_lower_may_be_better(self):
        scores = {"a": [1.0, 1.1], "b": [0.2, 0.1]}
        assert rank_stability(scores, higher_is_better=False)["b"].rank == 1

    def test_shares_of_being_best_add_up(self):
        scores = {str(i): RNG.normal(size=30) for i in range(5)}
        assert sum(r.best for r in rank_stability(scores).values()) == pytest.approx(1.0)
