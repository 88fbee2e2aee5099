"""Calibration: known temperatures come back, counts by hand, thresholds that keep their promise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_calibration_error

from xiqa.errors import ModelError
from xiqa.models.calibration import (
    band_around,
    fit_beta,
    fit_platt,
    fit_temperature,
    probability_of,
    threshold_at_sensitivity,
)
from xiqa.scoring.calibration import calibration_error, reliability


def draw(scale, shift=0.0, count=40_000, seed=0):
    """Margins whose true probability is sigmoid(margin), told as scale * margin - shift."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(0, 2, count)
    outcomes = rng.random(count) < 1 / (1 + np.exp(-margin))
    return scale * margin - shift, outcomes.astype(int)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_hidden_is_found(scale):
    margins, outcomes = draw(scale)
    logits = np.column_stack((-margins / 2, margins / 2))
    assert fit_temperature(logits, outcomes) == pytest.approx(scale, rel=0.03)
    assert fit_temperature(margins[:, None], outcomes) == pytest.approx(scale, rel=0.03)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (2.5, 1.5), (0.4, -0.6)])
def test_the_shift_that_was_hidden_is_found(scale, shift):
    margins, outcomes = draw(scale, shift)
    temperature, found = fit_platt(margins, outcomes)
    assert temperature == pytest.approx(scale, rel=0.03)
    assert found == pytest.approx(shift, abs=0.05)


@pytest.mark.parametrize("hidden", [(1.0, 1.0, 0.0), (2.0, 0.5, 1.0), (0.4, 1.5, -0.5)])
def test_the_beta_map_that_was_hidden_is_found(hidden):
    rng = np.random.default_rng(0)
    told = rng.uniform(0.001, 0.999, 60_000)
    a, b, c = hidden
    odds = a * np.log(told) - b * np.log(1 - told) + c
    outcomes = rng.random(len(told)) < 1 / (1 + np.exp(-odds))
    found = fit_beta(told, outcomes)
    np.testing.assert_allclose(found, hidden, atol=0.06)
    margins = np.log(told / (1 - told))
    calibrated = probability_of(margins[:, None], 1, beta=found)
    assert calibration_error(calibrated, outcomes) < 0.01


def test_the_beta_map_is_the_formula_and_leaves_alone_by_default():
    logits = np.array([[0.3, -1.2, 2.0], [4.0, 0.0, 0.1]])
    plain = np.exp(logits / 1.5) / np.exp(logits / 1.5).sum(1, keepdims=True)
    np.testing.assert_allclose(probability_of(logits, 2, 1.5), plain[:, 2])
    p = plain[:, 2]
    by_hand = 1 / (1 + np.exp(-(2.0 * np.log(p) - 0.5 * np.log(1 - p) + 0.7)))
    np.testing.assert_allclose(probability_of(logits, 2, 1.5, (2.0, 0.5, 0.7)), by_hand)


def test_images_that_are_told_apart_perfectly_do_not_ask_for_infinite_certainty():
    temperature, shift = fit_platt([-2.0, -1.0, 1.0, 2.0], [0, 0, 1, 1])
    most = 1 / (1 + np.exp(-(2 + shift) / temperature))
    assert 0.6 < most < 0.95


def test_calibration_needs_both_classes_and_the_right_way_round():
    with pytest.raises(ModelError):
        fit_temperature([[0.0, 1.0]], [1])
    with pytest.raises(ModelError):
        fit_platt([0.0, 1.0], [1, 1])
    with pytest.raises(ModelError, match="lower ones"):
        fit_platt([2.0, 1.0, -1.0, -2.0], [0, 0, 1, 1])


def test_calibration_error_counted_by_hand_and_by_torchmetrics():
    probabilities = [0.05, 0.15, 0.15, 0.95, 0.85, 0.85]
    outcomes = [0, 0, 1, 1, 1, 0]
    # bins [0, .1): |.05 - 0|, [.1, .2): |.15 - .5|, [.8, .9): |.85 - .5|, [.9, 1]: |.95 - 1|
    by_hand = (0.05 + 2 * 0.35 + 2 * 0.35 + 0.05) / 6
    assert calibration_error(probabilities, outcomes) == pytest.approx(by_hand)
    rng = np.random.default_rng(1)
    confident = rng.uniform(0.5, 1, 500)  # torchmetrics bins the confidence of the class that is called
    right = rng.random(500) < 0.8
    other = binary_calibration_error(torch.tensor(confident), torch.tensor(right).long(), n_bins=10)
    assert calibration_error(confident, right) == pytest.approx(float(other), abs=1e-6)


def test_reliability_holds_every_image_once_edges_included():
    diagram = reliability([0.0, 0.1, 0.1, 1.0], [0, 0, 1, 1])
    assert [(row.low, row.images) for row in diagram] == [(0.0, 1), (0.1, 2), (0.9, 1)]
    assert diagram[1].observed == 0.5


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40).filter(
        lambda radiographs: any(poor for _, poor in radiographs)
    ),
    st.floats(0.05, 1.0),
)
def test_the_threshold_keeps_its_promise_and_is_the_highest_that_does(radiographs, sensitivity):
    probabilities = np.round([p for p, _ in radiographs], 3)
    poor = np.array([is_poor for _, is_poor in radiographs])
    threshold = threshold_at_sensitivity(probabilities, poor, sensitivity)
    assert (probabilities[poor] >= threshold).mean() >= sensitivity - 1e-9
    higher = probabilities[probabilities >= threshold].min() + 1e-9
    assert (probabilities[poor] >= higher).mean() < sensitivity or higher > probabilities.max()


def test_a_band_is_symmetric_in_log_odds_and_never_leaves_the_unit_interval():
    low, high = band_around(0.02, 1.0)
    odds = [p / (1 - p) for p in (low, 0.02, high)]
    assert odds[1] / odds[0] == pytest.approx(odds[2] / odds[1])
    assert 0 < low < 0.02 < high < 1


def test_probabilities_of_one_logit_and_of_two_agree():
    z = np.array([-1.0, 0.0, 3.0])
    np.testing.assert_allclose(
        probability_of(z[:, None], 1, 2.0), probability_of(np.column_stack((-z / 2, z / 2)), 1, 2.0)
    )
