"""Tests of paired differences: against a loop over all signs, the t-test, and their own level."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats as scipy_stats

from xiqa.metrics.roc import roc_auc
from xiqa.scoring.differences import exchange_p, paired_differences, rank_stability, sign_flip_p


def slow_p(differences, patients):
    """Every choice of signs, patient by patient."""
    sums = {}
    for value, patient in zip(differences, patients, strict=True):
        if not math.isnan(value):
            sums[patient] = sums.get(patient, 0.0) + value
    observed = abs(sum(sums.values()))
    choices = list(product((1, -1), repeat=len(sums)))
    far = sum(
        abs(sum(s * v for s, v in zip(signs, sums.values(), strict=True))) >= observed - 1e-9
        for signs in choices
    )
    return far / len(choices)


@pytest.mark.parametrize("seed", range(4))
def test_equals_every_choice_of_signs(seed):
    rng = np.random.default_rng(seed)
    patients = [f"p{number}" for number in rng.integers(0, 8, 21)]
    differences = rng.normal(0.4, 1.0, (21, 2))
    differences[rng.random((21, 2)) < 0.2] = math.nan
    expected = [slow_p(column, patients) for column in differences.T]
    assert sign_flip_p(differences, patients) == pytest.approx(expected)
    assert len({round(p, 6) for p in expected}) == 2


def test_many_patients_take_random_signs_close_to_the_t_test():
    values = np.random.default_rng(1).normal(0.25, 1.0, 60)
    (p,) = sign_flip_p(values[:, None])
    expected = scipy_stats.ttest_1samp(values, 0).pvalue
    assert 0.01 < expected < 0.3
    assert p == pytest.approx(expected, abs=0.02)
    (least,) = sign_flip_p(np.ones((60, 1)), resamples=499)
    assert least == pytest.approx(1 / 500)  # the observed choice is one of them: never 0


def test_six_patients_are_the_fewest():
    """The least p-value of n patients is 2 / 2^n, which is above 0.05 for five."""
    scores = {"a": np.arange(1.0, 7.0), "b": np.zeros(6)}
    assert paired_differences(scores)[0].p == pytest.approx(2 / 64)
    few = paired_differences({name: values[:5] for name, values in scores.items()})[0]
    assert math.isnan(few.p)
    assert math.isnan(few.p_holm)
    assert few.mean.value == 3.0


def test_one_patient_is_no_evidence_however_many_images():
    rng = np.random.default_rng(0)
    scores = {"a": rng.random(200) + 0.5, "b": rng.random(200) * 0.1}
    (alone,) = paired_differences(scores, ["p"] * 200)
    assert math.isnan(alone.p)
    assert math.isnan(alone.mean.low)
    firm = rank_stability(scores, ["p"] * 200)["a"]
    assert firm.rank == 1
    assert math.isnan(firm.best)


def test_two_patients_have_ranks_that_may_change():
    scores = {"a": [1.0, 0.0, 0.4], "b": [0.0, 1.0, 0.3]}
    found = rank_stability(scores, ["p", "q", "q"], resamples=400)
    assert found["a"].rank == 1
    assert (found["a"].low, found["a"].high) == (1, 2)
    assert 0.6 < found["a"].best < 0.9  # not where q is drawn twice


def test_patients_without_a_score_do_not_count():
    values = np.array([0.5, 0.7, 0.9, 1.1, 1.3, math.nan, math.nan])
    assert math.isnan(sign_flip_p(values[:, None])[0])


@pytest.mark.parametrize("patients", [6, 9, 15])
@pytest.mark.parametrize("noise", ["normal", "heavy", "unequal"])
def test_a_true_null_is_rejected_in_five_per_cent_at_the_most(patients, noise):
    """The level of the exact test at few patients of unequal size; 600 draws miss it by 0.027 (3 sigma)."""
    rng = np.random.default_rng([patients, len(noise)])
    sizes = 1 + np.arange(patients) % 3
    names = [str(number) for number in np.repeat(np.arange(patients), sizes)]
    columns = []
    for _ in range(600):
        own = {"normal": rng.normal(size=patients), "heavy": rng.standard_t(2, patients),
               "unequal": rng.normal(size=patients) * np.linspace(0.1, 3, patients)}[noise]  # fmt: skip
        columns.append(np.repeat(own, sizes) + 0.2 * rng.normal(size=len(names)))
    p = np.array(sign_flip_p(np.stack(columns, axis=1), names, resamples=1000))
    assert (p < 0.05).mean() <= 0.05 + 0.027
    assert (p < 0.3).mean() == pytest.approx(0.3, abs=0.07)  # and it does reject


class TestExchange:
    def scores(self, shift, patients=8, seed=3):
        rng = np.random.default_rng(seed)
        names = [f"p{number}" for number in range(patients) for _ in range(3)]
        truth = rng.integers(0, 2, len(names))
        return (
            truth,
            truth + rng.normal(0, 0.8, len(names)),
            shift * truth + rng.normal(size=len(names)),
            names,
        )

    def test_equals_every_exchange_of_patients(self):
        truth, first, second, names = self.scores(0.2)
        observed = abs(roc_auc(first, truth) - roc_auc(second, truth))
        drawn = []
        for choice in product((False, True), repeat=8):
            swapped = [choice[int(name[1:])] for name in names]
            one = [b if s else a for a, b, s in zip(first, second, swapped, strict=True)]
            other = [a if s else b for a, b, s in zip(first, second, swapped, strict=True)]
            drawn.append(abs(roc_auc(one, truth) - roc_auc(other, truth)))
        expected = np.mean(np.array(drawn) >= observed - 1e-9)
        ours = exchange_p(lambda values, cases: roc_auc(values, truth[cases]), first, second, names)
        assert 0 < expected < 0.5
        assert ours == pytest.approx(expected)

    def test_a_image_that_one_method_lacks_is_left_out_of_both(self):
        _, first, second, names = self.scores(0.2)
        first[4] = math.nan
        seen = []

        def statistic(values, cases):
            seen.append(tuple(cases))
            return float(values.mean())

        exchange_p(statistic, first, second, names, resamples=50)
        assert set(seen) == {tuple(place for place in range(24) if place != 4)}

    def test_five_patients_are_too_few(self):
        _, first, second, names = self.scores(0.0, patients=5)
        assert math.isnan(exchange_p(lambda values, cases: float(values.mean()), first, second, names))

    def test_random_exchanges_never_give_zero(self):
        names = [str(number) for number in range(20)]
        p = exchange_p(lambda values, _: float(values.mean()), np.ones(20), np.zeros(20), names, resamples=99)
        assert p == pytest.approx(1 / 100)
