"""A site's slope, shift and threshold: the formulas over again by hand, the promise kept, and refusals."""

from math import comb, exp, log

import numpy as np
import pytest
from scipy.special import expit

from xiqa.errors import MetricError, ModelError
from xiqa.scoring.site import fit_log_odds, fit_site, require_patients
from xiqa.scoring.tolerance import fewest_trials, lower_limit


def slow_limit(values, share, confidence=0.95):
    """By adding up the binomial's terms, rank by rank."""
    ordered, count = sorted(values), len(values)
    best = None
    for rank in range(1, count + 1):
        below = sum(comb(count, k) * (1 - share) ** k * share ** (count - k) for k in range(rank))
        if 1 - below >= confidence:
            best = ordered[rank - 1]
    return best


@pytest.mark.parametrize(("count", "share"), [(29, 0.9), (47, 0.9), (130, 0.95), (60, 0.8)])
def test_the_limit_is_the_highest_value_that_vouches_for_the_share(count, share):
    values = np.random.default_rng(count).gamma(2, size=count)
    assert lower_limit(values, share) == slow_limit(values.tolist(), share)


def test_one_value_less_than_needed_is_refused():
    needed = fewest_trials(0.93)
    assert 0.93**needed <= 0.05 < 0.93 ** (needed - 1)
    assert lower_limit(range(needed), 0.93) == 0
    with pytest.raises(MetricError, match=str(needed)):
        lower_limit(range(needed - 1), 0.93)


def test_a_share_of_all_is_no_limit():
    with pytest.raises(MetricError, match="between 0 and 1"):
        fewest_trials(1.0)


def test_the_limit_keeps_its_promise_nineteen_times_in_twenty():
    rng = np.random.default_rng(3)
    kept = [1 - lower_limit(rng.random(80), 0.9) >= 0.9 for _ in range(2000)]
    assert 0.94 < np.mean(kept) < 0.995  # discrete: a little more than 0.95


def slow_loss(slope, shift, scores, poor, patients):
    """The penalised loss, image by image."""
    total = (log(slope) / 0.5) ** 2 / 2 + (shift / 2.0) ** 2 / 2
    for score, bad, name in zip(scores, poor, patients, strict=True):
        chance = 1 / (1 + exp(-(slope * score + shift)))
        total -= log(chance if bad else 1 - chance) / patients.count(name)
    return total


def test_slope_and_shift_have_the_smallest_loss():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, 60)
    poor = rng.random(60) < expit(1.8 * scores - 1)
    patients = [f"p{number // 2 if number < 20 else number}" for number in range(60)]
    slope, shift = fit_log_odds(scores, poor, patients)
    least = slow_loss(slope, shift, scores, poor, patients)
    for step in (-0.02, 0.02):
        assert slow_loss(slope * (1 + step), shift, scores, poor, patients) > least
        assert slow_loss(slope, shift + step, scores, poor, patients) > least


def test_many_images_are_believed_and_few_that_are_told_apart_hardly_move_anything():
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 3, 20_000)
    poor = rng.random(20_000) < expit(1.5 * scores + 2)
    slope, shift = fit_log_odds(scores, poor, [str(number) for number in range(20_000)])
    assert (slope, shift) == (pytest.approx(1.5, abs=0.1), pytest.approx(2, abs=0.15))
    slope, shift = fit_log_odds([-4.0, -3, 3, 5], [0, 0, 1, 1], ["a", "b", "c", "d"])
    assert 1 < slope < 1.5
    assert abs(shift) < 0.2


def test_a_patient_counts_once_by_the_image_that_is_hardest_to_find():
    scores = np.concatenate((np.arange(1.0, 30.0), [-2.0, -6.0]))  # patient 5 has a poor image at -2
    poor = np.array([True] * 30 + [False])
    patients = [str(number) for number in range(29)] + ["5", "good"]
    fit = fit_site(scores, poor, patients)
    # 29 patients: the lowest is the limit, halfway to the next image
    assert fit.threshold == pytest.approx(fit.slope * -4.0 + fit.shift)
    assert fit.apply([-4.0])[0] == pytest.approx(fit.threshold)


def test_too_few_patients_are_refused_with_how_many_it_takes():
    poor = [True] * 40 + [False] * 59
    patients = [f"p{number // 2}" for number in range(40)] + [f"g{number}" for number in range(59)]
    with pytest.raises(ModelError, match=r"29 patients .* of 59 .*got 20 and 59") as refused:
        require_patients(poor, patients, 0.9, 59)
    assert "--sensitivity" in str(refused.value)
    require_patients(poor, patients, 0.8, 59)  # 14 are enough
