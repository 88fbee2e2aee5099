"""Rates, agreement and control charts against slow replicas and by simulation."""

from math import comb, isnan

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from xiqa.errors import XiqaError
from xiqa.scoring.control import control_chart
from xiqa.scoring.counts import kappa_of, rate_of


def tail(at_least: int, n: int, p: float) -> float:
    return sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(at_least, n + 1))


@pytest.mark.parametrize(("count", "total"), [(0, 12), (3, 40), (11, 12), (12, 12)])
def test_at_an_interval_s_ends_the_count_is_just_as_unlikely_as_said(count, total):
    rate = rate_of(count, total)
    if count:
        assert tail(count, total, rate.low) == pytest.approx(0.025)
    if count < total:
        assert 1 - tail(count + 1, total, rate.high) == pytest.approx(0.025)
    assert rate.low <= rate.value <= rate.high


def test_a_rate_of_nothing_is_unknown_and_one_beyond_all_is_none():
    assert isnan(rate_of(0, 0).value)
    with pytest.raises(XiqaError):
        rate_of(5, 4)


def test_kappa_is_that_of_scikit_learn_and_its_interval_covers():
    cells = (31, 7, 12, 50)
    one = [1] * 38 + [0] * 62
    other = [1] * 31 + [0] * 7 + [1] * 12 + [0] * 50
    found = kappa_of(*cells)
    assert found.value == pytest.approx(cohen_kappa_score(one, other))
    assert found.agreement == pytest.approx(0.81)
    rng = np.random.default_rng(3)
    draws = rng.multinomial(100, np.array(cells) / 100, 2000)
    covered = [kappa_of(*map(int, row)) for row in draws]
    share = np.mean([item.low <= found.value <= item.high for item in covered])
    assert 0.92 < share < 0.97
    assert isnan(kappa_of(10, 0, 0, 0).value)
    assert isnan(kappa_of(0, 0, 0, 0).value)


def test_limits_are_the_counts_that_chance_passes_rarely_enough():
    chart = control_chart(["a", "b", "c"], [8, 8, 4], [100, 100, 50], baseline=3)
    assert chart.centre == pytest.approx(0.08)
    for point in chart.points:
        assert tail(point.high + 1, point.total, 0.08) <= 0.00135 < tail(point.high, point.total, 0.08)
        below = 1 - tail(point.low, point.total, 0.08)
        assert below <= 0.00135 < 1 - tail(point.low + 1, point.total, 0.08)


def test_runs_and_points_beyond_limits_are_marked_where_they_are():
    counts = [5, 4, 6, 5] + [6] * 10 + [30] + [0] * 3
    chart = control_chart([str(n) for n in range(len(counts))], counts, [100] * len(counts), baseline=4)
    marks = {point.name: point.alarm for point in chart.alarms}
    assert marks == {"12": "run", "13": "run", "14": "high"} | {}
    lows = control_chart(["a", "b"], [300, 250], [1000, 1000], baseline=1)
    assert [point.alarm for point in lows.points] == ["", "low"]
    empty = control_chart(["a", "b"], [1, 0], [10, 0], baseline=1)
    assert (empty.points[1].rate, empty.points[1].alarm) == (0.0, "")


@pytest.mark.long
@pytest.mark.parametrize(("images", "rate"), [(40, 0.08), (12, 0.05), (200, 0.1)])
def test_false_alarms_are_as_rare_as_promised_and_changes_are_found(images, rate):
    """100 years of a constant rate; the centre is known, as from a long baseline."""
    rng = np.random.default_rng(5)
    totals = np.concatenate([[200_000], rng.poisson(images, 36_500)])
    counts = rng.binomial(totals, rate)
    counts[0] = round(200_000 * rate)
    chart = control_chart([""] * len(totals), counts.tolist(), totals.tolist(), baseline=1)
    alarms = np.array([point.alarm for point in chart.points[1:]])
    assert np.isin(alarms, ["high", "low"]).mean() <= 0.0033
    assert (alarms == "run").mean() < 0.008
    after = rng.binomial(totals[1:], 2 * rate)
    doubled = control_chart([""] * len(totals), [counts[0], *after.tolist()], totals.tolist(), baseline=1)
    waits = np.diff(np.flatnonzero([bool(point.alarm) for point in doubled.points]))
    assert np.median(waits) < 12  # days until the next alarm once the rate has doubled


def test_what_is_no_chart():
    with pytest.raises(XiqaError):
        control_chart(["a"], [1, 2], [3], baseline=1)
    with pytest.raises(XiqaError):
        control_chart(["a"], [0], [0], baseline=1)
