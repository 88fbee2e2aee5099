"""Tables of made-up rows, against sums done by hand."""

import math

import numpy as np
import pytest

from xiqa.errors import ConfigError
from xiqa.experiments.recipe import TableSpec
from xiqa.experiments.render import cell_text, to_csv, to_html, to_latex, to_markdown
from xiqa.experiments.rows import frame_of
from xiqa.experiments.tables import make_table
from xiqa.metrics.roc import roc_auc
from xiqa.scoring.classifier import classifier_report
from xiqa.scoring.differences import paired_differences

PATIENTS = ["p", "p", "q", "r", "s", "t", "u", "v"]
RNG = np.random.default_rng(0)
GOOD, POOR = RNG.random(8), RNG.random(8) * 0.1


def row(image, value, **given):
    shared = {"image": f"i{image}", "patient": PATIENTS[image], "label": image % 2, "model": "m"}
    shared |= {"state": "trained", "metric": "pointing_game", "method": "gradcam", "profile": "paper"}
    return shared | {"value": value} | given


def rows():
    found = []
    for image in range(8):
        found.append(row(image, GOOD[image], seed=0))
        found.append(row(image, GOOD[image] + 0.2, seed=1))
        found.append(row(image, POOR[image], method="fem"))
        found.append(row(image, 0.5 if image else math.nan, method="centre", state="control"))
        found.append(row(image, GOOD[image] * 2, method="fem", state="full"))
        found.append(row(image, 7.0, x=0.5))  # a curve's point is no value
    return frame_of(found)


@pytest.fixture
def table(recipe):
    spec = TableSpec(name="t", title="A_b", reference={"method": "gradcam", "state": "trained"})
    return make_table(rows(), spec, recipe())


def test_a_cell_is_the_mean_of_images_with_seeds_averaged(table):
    cell = table.cells[("trained", "gradcam"), ("pointing_game",)]
    assert cell.interval.value == pytest.approx(np.mean(GOOD + 0.1))
    assert cell.interval.low < cell.interval.value < cell.interval.high
    assert cell.interval.images == 8
    assert table.cells[("control", "centre"), ("pointing_game",)].interval.images == 7
    assert table.rows[0] == ("trained", "gradcam")


def test_differences_are_paired_with_the_reference_and_corrected_together(table, recipe):
    others = {"fem": POOR, "centre": np.array([np.nan] + [0.5] * 7), "full": GOOD * 2}
    names = {"fem": ("trained", "fem"), "centre": ("control", "centre"), "full": ("full", "fem")}
    expected = paired_differences(
        {"reference": GOOD + 0.1, **others}, PATIENTS, reference="reference", resamples=200, seed=0
    )
    for one in expected:
        cell = table.cells[names[one.first], ("pointing_game",)]
        assert cell.difference == one.mean
        assert cell.p == one.p_holm
    assert table.cells[("trained", "gradcam"), ("pointing_game",)].difference is None
    fem = table.cells[("trained", "fem"), ("pointing_game",)]
    assert fem.significant
    assert fem.better is False
    assert cell_text(fem, 8).endswith("▼")
    assert not cell_text(table.cells[("full", "fem"), ("pointing_game",)], 8).endswith("▼")


def test_a_key_may_be_a_column_and_where_chooses(recipe):
    spec = TableSpec(
        name="t", title="t", rows=("method",), columns=("metric", "state"), where={"state": ("trained",)}
    )
    table = make_table(rows(), spec, recipe())
    assert table.columns == [("pointing_game", "trained"), ("pointing_game", "control")]
    assert (("fem",), ("pointing_game", "full")) not in table.cells


def test_the_difference_of_means_is_told_across_a_key(recipe):
    spec = TableSpec(name="t", title="t", rows=("method",), columns=("metric", "state"), consistency="state")
    cell = make_table(rows(), spec, recipe()).cells[("fem",), ("pointing_game consistency", "DoM")]
    assert cell.interval.value == pytest.approx(abs(POOR.mean() - 2 * GOOD.mean()))
    assert cell.interval.low < cell.interval.value < cell.interval.high


def test_the_area_under_the_curve_is_of_the_whole_set(recipe):
    found = [row(image, GOOD[image], metric="probability", method="") for image in range(8)]
    found += [row(image, POOR[image], metric="probability", method="", state="full") for image in range(8)]
    spec = TableSpec(name="t", title="t", rows=("state",), metrics=("AUC",), reference={"state": "trained"})
    table = make_table(frame_of(found), spec, recipe())
    slow = np.mean([(a > b) + 0.5 * (a == b) for a in GOOD[1::2] for b in GOOD[::2]])
    assert table.cells[("trained",), ("AUC",)].interval.value == pytest.approx(slow)
    other = table.cells[("full",), ("AUC",)]
    assert other.difference.value == pytest.approx(other.interval.value - slow)
    assert 0 < other.p <= 1
    assert math.isnan(roc_auc(GOOD, np.ones(8)))


def test_nothing_measured_is_an_error(recipe):
    with pytest.raises(ConfigError, match="nothing was measured"):
        make_table(rows(), TableSpec(name="t", title="t", metrics=("iou",)), recipe())


def test_formats_hold_every_cell(table):
    value = f"{np.mean(GOOD + 0.1):.3f}"
    for text in (to_markdown(table), to_latex(table), to_html(table)):
        assert value in text
        assert "centre" in text
        assert "8 images of 7 patients" in text
    assert "A\\_b" in to_latex(table)
    assert r"$\blacktriangledown$" in to_latex(table)
    assert to_latex(table).count(r"\\") == 5
    lines = to_csv(table).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("state,method,column,value,low,high,images,patients,difference")
    assert "p = " in to_html(table)


def test_few_patients_are_not_tested(recipe):
    found = [row(image, value, method=name) for image in range(5) for name, value in (("a", 1.0), ("b", 0.0))]
    found += [row(0, 2.0, method="c")]
    spec = TableSpec(name="t", title="t", rows=("method",), reference={"method": "b"})
    table = make_table(frame_of(found), spec, recipe())
    first = table.cells[("a",), ("pointing_game",)]
    assert first.difference.value == 1.0
    assert not first.significant
    assert cell_text(table.cells[("c",), ("pointing_game",)], table.images) == "2.000 (n = 1)"
    assert "No test below 6 patients." in to_markdown(table)


def test_a_report_of_classes_is_that_of_the_classifier_report(recipe):
    rng = np.random.default_rng(1)
    names = ["bad", "good", "worse"]
    truth = np.array([0, 1, 2, 0, 1, 2, 2, 0])
    scores = rng.dirichlet(np.ones(3), size=8)
    found = [row(image, 1.0, metric="accuracy", method="") for image in range(8)]
    for image in range(8):
        for place, name in enumerate(names):
            about = {"group": names[truth[image]], "class": name, "method": ""}
            found.append(row(image, scores[image, place], metric="probability", **about))
            called = float(scores[image].argmax() == place)
            found.append(row(image, called, metric="called", **about))
    rows = frame_of([{**one, "group": names[truth[int(one["image"][1:])]]} for one in found])
    spec = TableSpec(name="t", title="t", rows=["class"], metrics=["precision", "recall", "F1", "AUC"])
    table = make_table(rows, spec, recipe())
    report = classifier_report(scores, truth, names)
    assert [one[0] for one in table.rows] == names
    for one in report.classes:
        values = [table.cells[(one.name,), (label,)].interval.value for label in spec.metrics]
        assert values == pytest.approx([one.precision, one.recall, one.f1, one.auc])
    shares = TableSpec(name="t", title="t", rows=["group"], columns=["class"], metrics=["called"])
    confusion = make_table(rows, shares, recipe())
    for place, counts in zip(names, report.confusion, strict=True):
        told = [confusion.cells[(place,), (name,)].interval.value for name in names]
        assert told == pytest.approx(np.array(counts) / sum(counts))
    # without the key, rows of single classes are not mixed into others
    plain = make_table(rows, TableSpec(name="t", title="t", rows=["model"]), recipe())
    assert [column for _, column in plain.cells] == [("accuracy",)]


def test_a_statistic_leaves_out_images_that_were_not_measured(recipe):
    scores = [0.1, 0.9, 0.2, 0.3, 0.4, 0.8, 0.1, 0.2]
    found = [row(image, scores[image], metric="probability", method="") for image in range(7)]
    found += [row(image, scores[image], metric="probability", method="", state="full") for image in range(8)]
    spec = TableSpec(name="t", title="t", rows=["state"], metrics=["AUC"])
    table = make_table(frame_of(found), spec, recipe())
    few, many = (table.cells[(state,), ("AUC",)].interval for state in ("trained", "full"))
    labels = np.arange(8) % 2
    assert few.value == pytest.approx(roc_auc(np.array(scores[:7]), labels[:7]))
    assert many.value == pytest.approx(roc_auc(np.array(scores), labels))
    assert few.value != many.value
