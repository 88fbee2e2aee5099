"""What outputs say about quality, head by head, against plain loops."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from xiqa.assessment.verdicts import decide
from xiqa.models.architecture import Architecture
from xiqa.models.calibration import probability_of
from xiqa.models.card import BundleCard, Layers
from xiqa.models.outputs import (
    Outputs,
    class_scores,
    degrees_of,
    disagreement,
    is_plain,
    margins,
    output_count,
    poor_classes,
    problem_names,
    read_outputs,
    target_of,
)
from xiqa.models.preprocess import Preprocessing
from xiqa.saliency.targets import resolve_target
from xiqa.types import Verdict

ONE_POOR_CLASS = Outputs()


@dataclass(frozen=True)
class Card:
    classes: tuple[str, ...]
    outputs: Outputs = ONE_POOR_CLASS
    poor_class: int = 1


GRADES = ("none", "mild", "severe")
PLAIN = Card(("good", "poor"))
SEVERAL = Card(("good", "dark", "blurred"), Outputs(poor_classes=(1, 2)))
LABELS = Card(("portable", "lead", "button"), Outputs(task="labels", poor_classes=(1, 2)))
GRADED = Card(GRADES, Outputs(task="ordered"), 2)
PROBLEMS = Card(GRADES, Outputs(task="ordered", problems=("blur", "noise"), grades_from=(0.2, 0.6)))
DEGREES = Card(("good", "poor"), Outputs(task="degree", problems=("blur", "noise"), limit=0.4))
VALUE = Card(("good", "poor"), Outputs(task="degree", limit=0.4))
ALL = {
    "plain": (PLAIN, 2, ("poor",)),
    "several": (SEVERAL, 3, ("dark", "blurred")),
    "labels": (LABELS, 3, ("lead", "button")),
    "graded": (GRADED, 2, ("severe",)),
    "problems": (PROBLEMS, 4, ("blur", "noise")),
    "degrees": (DEGREES, 2, ("blur", "noise")),
    "value": (VALUE, 1, ("poor",)),
}
BETA = (1.3, 0.7, 0.2)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(name, z, t):
    """Probability of each problem, and what is explained for it, from one image's outputs."""
    if name in ("plain", "several"):
        odds = [np.exp(v / t) for v in z]
        return [odds[c] / sum(odds) for c in ((1,) if name == "plain" else (1, 2))], [1, 2]
    if name == "labels":
        return [sigmoid(z[1] / t), sigmoid(z[2] / t)], [1, 2]
    if name == "graded":
        return [sigmoid(z[1] / t)], [1]
    if name == "problems":
        return [sigmoid(z[0] / t), sigmoid(z[2] / t)], [0, 2]
    if name == "degrees":
        return [sigmoid((z[0] - 0.4) / t), sigmoid((z[1] - 0.4) / t)], [0, 1]
    return [sigmoid((z[0] - 0.4) / t)], [1]


@pytest.mark.parametrize("name", ALL)
def test_probabilities_and_targets_are_their_formulas(name):
    card, count, problems = ALL[name]
    assert disagreement(card) is None
    assert (output_count(card), problem_names(card)) == (count, problems)
    logits = np.random.default_rng(0).normal(size=(20, count)) * 2
    reading = read_outputs(card, logits, 1.7)
    for place, z in enumerate(logits):
        each, targets = by_hand(name, z, 1.7)
        worst = max(range(len(each)), key=lambda p: each[p])
        np.testing.assert_allclose(reading.each[place], each)
        assert reading.problems[place] == worst
        assert reading.targets[place] == targets[worst]
        total = sum(each) if card.outputs.task == "classes" else max(each)
        assert reading.probabilities[place] == pytest.approx(total)
        mapped = sigmoid(BETA[0] * np.log(total) - BETA[1] * np.log(1 - total) + BETA[2])
        assert read_outputs(card, logits, 1.7, BETA).probabilities[place] == pytest.approx(mapped)


@pytest.mark.parametrize("name", ALL)
def test_what_is_explained_is_a_class_that_the_saliency_engine_takes(name):
    card, count, problems = ALL[name]
    for problem in range(len(problems)):
        resolve_target(target_of(card, problem), torch.zeros(1, count))


def test_one_poor_class_is_read_as_ever():
    logits = np.random.default_rng(1).normal(size=(9, 2))
    np.testing.assert_array_equal(
        read_outputs(PLAIN, logits, 0.6, BETA).probabilities, probability_of(logits, 1, 0.6, BETA)
    )
    one = read_outputs(PLAIN, logits[:, :1]).probabilities
    np.testing.assert_allclose(one, sigmoid(logits[:, 0]))
    assert is_plain(PLAIN)
    assert not any(is_plain(card) for card, _, _ in ALL.values() if card is not PLAIN)


def test_grades_have_probabilities_that_add_up():
    logits = -np.sort(-np.random.default_rng(2).normal(size=(8, 2)), axis=1)
    scores, names, exclusive = class_scores(GRADED, logits)
    assert (names, exclusive) == (GRADES, True)
    for z, row in zip(logits, scores, strict=True):
        first, second = sigmoid(z[0]), sigmoid(z[1])
        np.testing.assert_allclose(row, [1 - first, first - second, second])
    np.testing.assert_allclose(scores.sum(1), 1)
    np.testing.assert_allclose(degrees_of(GRADED, logits)[:, 0], scores @ [0, 1, 2])


def test_degrees_are_told_as_they_come():
    values = np.array([[0.1, 0.9]])
    np.testing.assert_array_equal(degrees_of(DEGREES, values), values)
    np.testing.assert_allclose(margins(DEGREES, values), [[-0.3, 0.5]])
    assert class_scores(DEGREES, values)[1:] == (("blur", "noise"), False)


@pytest.mark.parametrize(
    ("card", "told"),
    [
        (Card(("a", "b"), poor_class=2), "none of the classes"),
        (Card(("a", "b"), Outputs(poor_classes=(3,))), "none of the classes"),
        (Card(("a", "b"), Outputs(poor_classes=(0, 1))), "no good class"),
        (Card(("a", "b"), Outputs(problems=("x",))), "not for the task classes"),
        (Card(GRADES, Outputs(task="ordered", poor_classes=(1,))), "not for the task ordered"),
        (Card(GRADES, Outputs(task="ordered"), 0), "first grade is the best"),
        (Card(GRADES, Outputs(task="degree")), "two classes"),
        (Card(GRADES, Outputs(task="ordered", problems=("x",), grades_from=(0.5,))), "2 rising degrees"),
        (Card(GRADES, Outputs(task="ordered", problems=("x",), grades_from=(0.5, 0.2))), "2 rising degrees"),
    ],
)
def test_what_does_not_go_together_is_told(card, told):
    assert told in disagreement(card)


def bundle_card(card, count, grades=0):
    return BundleCard(
        name="x",
        created="2025-01-01",
        architecture=Architecture(classes=count, grades=grades),
        preprocessing=Preprocessing(),
        classes=card.classes,
        poor_class=card.poor_class,
        outputs=card.outputs,
        temperature=1.0,
        threshold=0.5,
        review_band=(0.4, 0.6),
        layers=Layers(last="a", multi=("a",)),
        method="gradcam",
        intended_use="",
        limits="",
        not_for="",
        training_data="",
        licence="",
    )


def test_a_card_tells_its_problems_and_keeps_them():
    card = bundle_card(PROBLEMS, 4, grades=3)
    assert (card.problems, card.poor_classes) == (("blur", "noise"), (1, 2))
    assert BundleCard.model_validate_json(card.sealed().model_dump_json()).outputs == PROBLEMS.outputs
    with pytest.raises(ValueError, match="class names for 3 outputs"):
        bundle_card(PROBLEMS, 3)
    with pytest.raises(ValueError, match="no good class"):
        bundle_card(Card(("a", "b"), Outputs(poor_classes=(0, 1))), 2)
    assert poor_classes(bundle_card(LABELS, 3)) == (1, 2)


@pytest.mark.parametrize(
    ("probability", "verdict"),
    [(0.9, Verdict.REACQUIRE), (0.5, Verdict.REVIEW), (0.1, Verdict.ACCEPT)],
)
def test_the_verdict_names_the_problem(probability, verdict):
    found, _, reason = decide(bundle_card(SEVERAL, 3), probability, problem="motion_blur")
    assert found is verdict
    assert "poor quality (motion blur)" in reason
