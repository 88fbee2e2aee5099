"""The order in which images, objects, candidates or methods are given decides nothing."""

import itertools
import math

import numpy as np
import pytest

from tests.metrics.truths import OBJECTS, random_map
from xiqa.geometry import Box, Point
from xiqa.metrics import metrics
from xiqa.metrics.localisation.froc import froc, froc_curve
from xiqa.scoring.differences import mean_intervals, paired_differences, rank_stability
from xiqa.types import Annotation

TRUTHS = [
    [Annotation(Box(0, 0, 4, 4))],
    [Annotation(Box(10, 0, 14, 4)), Annotation(Box(0, 9, 2, 12))],
    [],
    [],
]
FOUND = [
    [(Point(2, 2), 0.5), (Point(30, 30), 0.5)],
    [(Point(12, 2), 0.5), (Point(1, 10), 0.2), (Point(40, 1), 0.2)],
    [(Point(9, 9), 0.5)],
    [(Point(8, 8), 0.2), (Point(1, 1), 0.1)],
]


def slow_froc(found, truths, levels):
    """At every threshold the whole set anew."""
    thresholds = sorted({score for places in found for _, score in places}, reverse=True)
    points = [(0.0, 0.0)]
    for threshold in thresholds:
        false, seen = 0, 0
        for places, truth in zip(found, truths, strict=True):
            kept = [point for point, score in places if score >= threshold]
            boxes = [a.box for a in truth]
            inside = [[b.x0 <= p.x <= b.x1 and b.y0 <= p.y <= b.y1 for b in boxes] for p in kept]
            false += sum(not any(row) for row in inside)
            seen += sum(any(row[k] for row in inside) for k in range(len(boxes)))
        points.append((false / len(truths), seen / sum(map(len, truths))))
    return sum(max(s for f, s in points if f <= level) for level in levels) / len(levels)


@pytest.mark.parametrize("profile", ["paper", "reference"])
def test_froc_of_tied_scores_is_the_same_in_every_order_of_the_images(profile):
    levels = (0.25, 0.5, 0.75, 1.0, 1.5)
    values = set()
    for order in itertools.permutations(range(4)):
        for reverse in (1, -1):
            found = [FOUND[place][::reverse] for place in order]
            values.add(froc(found, [TRUTHS[place] for place in order], levels=levels, profile=profile))
    assert len(values) == 1
    if profile == "paper":
        (value,) = values
        assert value == pytest.approx(slow_froc(FOUND, TRUTHS, levels))
        assert 0 < value < 1


def test_a_resampled_curve_equals_that_of_the_resampled_images():
    times = np.array([2, 0, 1, 3])
    drawn = froc_curve(FOUND, TRUTHS).drawn(times)
    repeated = [place for place, count in enumerate(times) for _ in range(count)]
    whole = froc_curve([FOUND[p] for p in repeated], [TRUTHS[p] for p in repeated])
    levels = (0.1, 0.3, 0.5, 0.6, 1.0, 1.4)
    assert drawn.mean_sensitivity(levels) == pytest.approx(whole.mean_sensitivity(levels))
    assert 0 < drawn.mean_sensitivity(levels) < 1


ON_IMAGES = [info for info in metrics() if info.kind == "localisation" and info.scope == "image"]


@pytest.mark.parametrize("info", ON_IMAGES, ids=lambda info: info.name)
@pytest.mark.parametrize("levels", [None, 4])
def test_the_order_of_the_objects_decides_nothing(info, levels):
    saliency = random_map(3, levels=levels)
    values = {info.function(saliency, list(order)) for order in itertools.permutations(OBJECTS)}
    assert max(values) - min(values) < 1e-12


def test_statistics_by_patient_do_not_follow_the_order_of_rows():
    rng = np.random.default_rng(8)
    patients = np.array([f"p{number}" for number in rng.integers(0, 9, 30)])
    scores = {"a": rng.random(30), "b": rng.random(30) * 0.9}
    order = rng.permutation(30)
    shuffled = {name: values[order] for name, values in scores.items()}
    before, after = (
        mean_intervals(values, list(names), resamples=200)
        for values, names in ((scores, patients), (shuffled, patients[order]))
    )
    for name in scores:
        assert after[name].low == pytest.approx(before[name].low)
        assert after[name].value == pytest.approx(before[name].value)
    first = paired_differences(scores, list(patients))[0]
    second = paired_differences(shuffled, list(patients[order]))[0]
    assert first.p == second.p
    other = paired_differences(dict(reversed(scores.items())), list(patients))[0]
    assert (other.p, other.mean.value) == (first.p, pytest.approx(-first.mean.value))


def test_equal_methods_share_their_rank_in_any_order():
    values = np.random.default_rng(0).random(12)
    for names in itertools.permutations("abc"):
        found = rank_stability({name: values - (name == "c") for name in names}, resamples=100)
        assert (found["a"].rank, found["b"].rank, found["c"].rank) == (1.5, 1.5, 3.0)
        assert found["a"].best == found["b"].best == 1.0
        assert not math.isnan(found["c"].low)
