"""The classifier's report against plain loops and scikit-learn, and the files that tell it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as Pillow
from sklearn import metrics

from xiqa.errors import MetricError, OutputError
from xiqa.report.classifier_files import report_page, write_report
from xiqa.scoring.classifier import ClassifierReport, classifier_report

NAMES = ("good", "dark", "blurred")


@pytest.fixture
def exclusive():
    """Probabilities of three classes that are often right."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    logits = rng.normal(size=(60, 3)) + 1.5 * np.eye(3)[truth]
    odds = np.exp(logits)
    return odds / odds.sum(1, keepdims=True), truth


@pytest.fixture
def together():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, (50, 3))
    return 1 / (1 + np.exp(-rng.normal(size=(50, 3)) - 2 * truth + 1)), truth


def history(epochs=3):
    rows = []
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "phase": 1, "kept": epoch == 2, "loss": 1 / epoch, "auc": 0.9, "accuracy": 0.8}
        row |= {f"recall:{name}": 0.1 * epoch * (place + 1) % 1 for place, name in enumerate(NAMES)}
        rows.append(row | {"score": 0.5})
    return rows


def test_exclusive_classes_are_scored_as_by_hand_and_by_scikit_learn(exclusive):
    probabilities, truth = exclusive
    report = classifier_report(probabilities, truth, NAMES)
    called = [max(range(3), key=lambda c: row[c]) for row in probabilities]
    for c, row in enumerate(report.classes):
        found = sum(t == c and k == c for t, k in zip(truth, called, strict=True))
        assert row.support == sum(t == c for t in truth)
        assert row.recall == pytest.approx(found / row.support)
        assert row.precision == pytest.approx(found / sum(k == c for k in called))
        pairs = [(a, b) for a in probabilities[truth == c, c] for b in probabilities[truth != c, c]]
        assert row.auc == pytest.approx(np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs]), abs=1e-6)
    told = metrics.classification_report(truth, called, target_names=NAMES, output_dict=True)
    for row in report.classes:
        assert row.f1 == pytest.approx(told[row.name]["f1-score"])
    for mean, name in ((report.macro, "macro avg"), (report.weighted, "weighted avg")):
        assert (mean.precision, mean.recall, mean.f1) == pytest.approx(
            (told[name]["precision"], told[name]["recall"], told[name]["f1-score"])
        )
    assert report.accuracy == pytest.approx(told["accuracy"])
    np.testing.assert_array_equal(report.confusion, metrics.confusion_matrix(truth, called))


def test_classes_that_come_together_are_scored_one_by_one(together):
    probabilities, truth = together
    report = classifier_report(probabilities, truth, NAMES)
    called = probabilities >= 0.5
    precision, recall, f1, support = metrics.precision_recall_fscore_support(truth, called)
    assert not report.exclusive
    for c, row in enumerate(report.classes):
        assert (row.precision, row.recall, row.f1) == pytest.approx((precision[c], recall[c], f1[c]))
        assert row.support == support[c]
        assert row.auc == pytest.approx(metrics.roc_auc_score(truth[:, c], probabilities[:, c]), abs=1e-6)
    np.testing.assert_array_equal(
        np.reshape(report.confusion, (3, 2, 2)), metrics.multilabel_confusion_matrix(truth, called)
    )
    assert report.accuracy == pytest.approx((called == truth).mean())


def test_what_cannot_be_known_is_left_out():
    report = classifier_report([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1]], [0, 1], NAMES)
    absent = report.classes[2]
    assert (absent.support, absent.recall, absent.f1, absent.auc) == (0, None, None, None)
    assert report.macro.recall == 1
    assert "–" in report_page(report)


def test_degrees_are_scored_problem_by_problem(together):
    from scipy.stats import kendalltau

    probabilities, truth = together
    rng = np.random.default_rng(2)
    true = rng.uniform(size=(50, 2))
    said = true + rng.normal(0, 0.1, (50, 2))
    said[:, 1] = 0.5
    report = classifier_report(probabilities, truth, NAMES, degrees=(said, true, ("noise", "blur")))
    noise, blur = report.degrees
    assert noise.mean_absolute_error == pytest.approx(
        sum(abs(a - b) for a, b in zip(said[:, 0], true[:, 0], strict=True)) / 50
    )
    assert noise.root_mean_square_error == pytest.approx(
        metrics.mean_squared_error(true[:, 0], said[:, 0]) ** 0.5
    )
    ranks = [np.argsort(np.argsort(values)) for values in (said[:, 0], true[:, 0])]
    assert noise.rank_correlation == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert np.sign(noise.rank_correlation) == np.sign(kendalltau(said[:, 0], true[:, 0]).statistic)
    assert blur.rank_correlation is None


@pytest.mark.parametrize(
    ("probabilities", "truth"), [([[0.5, 0.5]], [0]), ([[0.2, 0.3, 0.5]], [0, 1]), (np.zeros((0, 3)), [])]
)
def test_shapes_that_do_not_fit_are_told(probabilities, truth):
    with pytest.raises(MetricError, match="do not fit"):
        classifier_report(probabilities, truth, NAMES)
    with pytest.raises(MetricError, match="degrees do not fit"):
        classifier_report([[0.2, 0.3, 0.5]], [0], NAMES, degrees=([[0.0]], [[0.0, 1.0]], ("noise",)))


@pytest.mark.parametrize("kind", ["exclusive", "together"])
def test_the_files_tell_the_same_numbers(kind, request, tmp_path):
    probabilities, truth = request.getfixturevalue(kind)
    report = classifier_report(probabilities, truth, NAMES, name="tiny", split="test", history=history())
    write_report(report, tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert ClassifierReport.model_validate_json((folder / "classifier.json").read_text()) == report
    page = (folder / "classifier.md").read_text()
    assert page.startswith("# tiny: test")
    for row in report.classes:
        cells = [f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", str(row.support)]
        assert f"| {row.name} | {' | '.join(cells)} |" in page
    assert "| 2 (kept) | 0.500 |" in page
    picture = Pillow.open(folder / "classifier.png")
    assert min(picture.size) > 600
    assert np.asarray(picture.convert("L")).std() > 10
    first = (folder / "classifier.png").read_bytes()
    write_report(report, folder)
    assert (folder / "classifier.png").read_bytes() == first


def test_a_long_history_is_cut_in_the_table_but_not_in_the_file(exclusive, tmp_path):
    report = classifier_report(*exclusive, NAMES, history=history(40))
    page = report_page(report)
    assert "| 2 (kept) |" in page
    assert "| 3 |" not in page
    assert "| 40 |" in page
    assert len(json.loads(report.model_dump_json())["history"]) == 40


def test_the_report_needs_nothing_that_another_module_prepares():
    code = "import xiqa.scoring.classifier as c; print(c.classifier_report([[0.9, 0.1]], [0], 'ab').accuracy)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.returncode) == ("1.0", 0), done.stderr


def test_a_folder_that_cannot_be_written_is_told(exclusive, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_report(classifier_report(*exclusive, NAMES), tmp_path / "file")
