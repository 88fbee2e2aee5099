"""Experiments on images of more than two classes."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from xiqa.errors import ConfigError
from xiqa.experiments.figures import draw_figure
from xiqa.experiments.recipe import FigureSpec
from xiqa.experiments.run import plan, run
from xiqa.report.classifier_files import write_report
from xiqa.scoring.classifier import classifier_report
from xiqa.simulation.chest import simulate_chest

from .conftest import make_bundle

CLASSES = ("none", "pneumonia", "covid")
BOX = (256.0, 512.0, 128.0, 256.0)  # x, y, w, h of 1024


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six images of three classes as a CSV, and a box on one of them and on an image of another class."""
    folder = tmp_path_factory.mktemp("images")
    rows = []
    for seed in range(6):
        pixels = simulate_chest(seed, size=(64, 64)).image.pixels
        Image.fromarray((pixels * 255).astype(np.uint8)).save(folder / f"{seed}.png")
        rows.append((f"{seed}.png", f"p{seed}", "test", CLASSES[seed % 3]))
    with (folder / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "patient", "split", "class"), *rows])
    with (folder / "boxes.csv").open("w", newline="") as file:
        boxes = [(f"{seed}.png", "Pneumonia", *BOX) for seed in (0, 1)]
        csv.writer(file).writerows([("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"), *boxes])
    return folder


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("three") / "bundle", CLASSES)


@pytest.fixture
def planned(recipe, data, three):
    def make(**given):
        defaults = {
            "target": "true",
            "verdicts": True,
            "methods": ["gradcam"],
            "data": {"source": "folder", "path": str(data), "split": "test", "boxes": "boxes.csv"},
            "models": [{"name": "tiny", "bundles": [str(three)], "states": ["trained", "full"]}],
            "tables": [],
        }
        return plan(recipe(**(defaults | given)))

    return make


def test_verdicts_tell_every_class(planned, tmp_path):
    rows = run(planned(measures=[]), tmp_path)
    trained = rows[rows.state == "trained"]
    told = trained[(trained["class"] != "") & (trained.metric == "probability")]
    assert set(told["class"]) == set(CLASSES)
    assert told.groupby("image").value.sum().to_numpy() == pytest.approx(1.0)
    called = trained[trained.metric == "called"].set_index(["image", "class"]).value
    right = trained[trained.metric == "accuracy"].set_index("image")
    for case, one in right.iterrows():
        assert called[case].sum() == 1
        assert called[case, one.group] == one.value
        assert one.outcome == ("right" if one.value else "wrong")
    assert set(right.value) == {0.0, 1.0}  # both occur, or this test says nothing


def test_only_images_that_the_trained_network_calls_right(planned, tmp_path):
    measures = [{"metric": "entropy"}, {"metric": "entropy", "label": "right", "correct_only": True}]
    rows = run(planned(measures=measures), tmp_path)
    every, right = (rows[rows.metric == name] for name in ("entropy", "right"))
    trained = right[right.state.isin(["trained", "control"])]
    assert set(trained.outcome) == {"right"}
    assert len(trained) == (every[every.state != "full"].outcome == "right").sum()
    assert (right.state == "full").sum() == 6  # what a random network gets right is luck


def test_boxes_are_those_of_the_images_own_class(planned, tmp_path):
    cases = {case.key: case.load().annotations for case in planned(measures=[]).cases}
    assert {key: len(found) for key, found in cases.items() if found} == {
        "1.png": 1
    }  # the class of 0 is none
    x, y, width, height = (value / 16 for value in BOX)
    assert cases["1.png"][0].box == pytest.approx((x, y, x + width - 1, y + height - 1), abs=0.5)


def test_the_two_masks_share_the_image(planned, tmp_path, data):
    masks = [{"name": "in", "region": "lungs"}, {"name": "out", "region": "lungs", "keep": "outside"}]
    one = planned(measures=[], alterations=masks)
    case = one.cases[0]
    from xiqa.experiments.measure import Evaluator

    evaluator = Evaluator(one.experiment, one.network_states[0], one.network_states[0].load())
    prepared = evaluator._prepare(case)
    inside, outside = (evaluator._altered(prepared, how) for how in one.experiment.alterations)
    whole, mean = prepared.array, prepared.array.mean(dim=(1, 2), keepdim=True)
    assert prepared.loaded.region("lungs").any()
    np.testing.assert_allclose(inside + outside, whole + mean, atol=1e-5)
    assert not np.allclose(inside, whole)


def test_the_history_is_that_of_the_training(planned, three, tmp_path):
    shutil.copytree(three, tmp_path / "bundle")
    models = [{"name": "tiny", "bundles": [str(tmp_path / "bundle")]}]
    experiment = planned(models=models, measures=[]).experiment
    spec = FigureSpec(name="history", title="Recall by epoch", kind="history")
    with pytest.raises(ConfigError, match="no history of tiny"):
        draw_figure(None, spec, experiment, {}, tmp_path / "history.png")
    recall = {f"recall:{name}": 0.5 for name in CLASSES}
    epochs = [{"epoch": k, "phase": 1, "kept": k == 1, "loss": 1.0, "auc": 0.5, "accuracy": 0.5} | recall
              for k in (1, 2)]  # fmt: skip
    report = classifier_report(np.eye(3), [0, 1, 2], CLASSES, history=epochs)
    write_report(report, tmp_path / "report")
    draw_figure(None, spec, experiment, {}, tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 5000
