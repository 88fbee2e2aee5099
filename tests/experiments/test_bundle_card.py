"""The card's numbers: by hand on few images, and intervals that widen when images share a patient."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_auroc

from xiqa.errors import DatasetError
from xiqa.experiments.bundle_card import evaluate_bundle, simulated_samples, with_evaluation
from xiqa.experiments.other_sources import other_sources
from xiqa.geometry import Box, Point
from xiqa.models.bundle import load_model
from xiqa.models.shelf import shipped_models
from xiqa.scoring.evaluation import RECALL, Scores, summarise
from xiqa.scoring.intervals import statistic_interval
from xiqa.types import Annotation


def some_scores():
    nan = float("nan")
    names = ("removable", "problem", "compact", RECALL)
    values = [(1.0, 1.0, nan, 1.0), (1.0, 0.0, 1.0, 0.5), (nan,) * 4, (nan,) * 4]
    hit = [dict(zip(names, row, strict=True)) for row in values]
    found = [[(Point(5, 5), 0.9)], [(Point(50, 50), 0.4)], [(Point(1, 1), 0.2)], []]
    truth = [Annotation(Box(0, 0, 10, 10))]
    return Scores(
        patients=["a", "b", "c", "d"],
        poor=[True, True, False, False],
        probabilities=[0.9, 0.4, 0.6, 0.1],
        caught=[False, False, True, False],
        hits={"some": hit},
        found={"some": found},
        truths=[truth, truth, [], []],
    )


def test_the_summary_by_hand():
    summary = summarise(some_scores(), "four", threshold=0.5, tolerance=15)
    assert (summary.images, summary.poor, summary.patients) == (4, 2, 4)
    assert summary.auc.value == 0.75  # 3 of 4 pairs are in order
    assert (summary.sensitivity.value, summary.specificity.value) == (0.5, 0.5)
    assert summary.guard_caught.value == 0.25
    (row,) = summary.localisation
    assert {group: share.value for group, share in row.groups.items()} == {
        "removable": 1.0,
        "problem": 0.5,
        "compact": 1.0,
    }
    assert row.recall.value == 0.75
    # one of two objects is found without a false positive; the next candidates are false
    assert row.froc.value == pytest.approx(0.5)
    assert row.froc.low <= 0.5 <= row.froc.high


def test_images_of_one_class_cannot_be_scored():
    scores = some_scores()
    scores.poor = [True] * 4
    with pytest.raises(DatasetError, match="poor and good"):
        summarise(scores, "four", 0.5, 15)


def test_the_interval_goes_by_patient():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=40), 5)

    def mean(pick):
        return float(values[pick].mean())

    alone = statistic_interval(mean, [str(i) for i in range(200)])
    together = statistic_interval(mean, [str(i // 5) for i in range(200)])
    assert alone.value == together.value
    exact = 1.96 * values.std() / np.sqrt(40)
    assert together.high - together.low == pytest.approx(2 * exact, rel=0.15)
    assert (alone.high - alone.low) * 5**0.5 == pytest.approx(together.high - together.low, rel=0.15)


def test_the_auc_is_that_of_torchmetrics():
    rng = np.random.default_rng(1)
    scores = some_scores()
    scores.probabilities = rng.integers(0, 6, 60) / 6
    scores.poor = list(rng.random(60) < 0.4)
    scores.patients = [str(i) for i in range(60)]
    scores.caught, scores.hits = [False] * 60, {}
    other = binary_auroc(torch.tensor(scores.probabilities), torch.tensor(scores.poor).long())
    assert summarise(scores, "sixty", 0.5, 15).auc.value == pytest.approx(float(other))


def test_other_sources_are_what_an_image_is():
    kinds = {}
    for kind, image in other_sources(count=1):
        assert image.pixels.dtype == np.float32
        assert image.pixels.ndim in (2, 3)
        assert 0 <= image.pixels.min() <= image.pixels.max() <= 1
        kinds.setdefault(kind, image)
    assert {"photograph", "hand", "lateral chest", "abdomen", "all black", "all white", "noise"} <= set(kinds)


@pytest.mark.long
def test_a_shipped_model_finds_simulated_objects():
    (name, *_) = shipped_models()
    model = load_model(name)
    evaluation = evaluate_bundle(model, simulated_samples(8), "simulated", ["normgrad_conv1x1"])
    assert [row.method for row in evaluation.localisation] == ["normgrad_conv1x1", "centre"]
    found, centre = evaluation.localisation
    assert found.groups["problem"].value > centre.groups["problem"].value
    card = with_evaluation(with_evaluation(model.card, evaluation), evaluation)
    assert [scores.name for scores in card.evaluations].count("simulated") == 1
