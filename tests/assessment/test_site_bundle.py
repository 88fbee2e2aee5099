"""A bundle derived for a site: what it says follows from the formulas, the network is the parent's."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from scipy.special import expit, logit
from typer.testing import CliRunner

from xiqa.assessment import assess
from xiqa.assessment.site import SiteScores, calibrate_at, site_samples, with_reference
from xiqa.cli.models import app
from xiqa.datasets import Sample
from xiqa.datasets.collection import Collection
from xiqa.errors import DatasetError, ModelError
from xiqa.models import load_model, read_card, save_bundle
from xiqa.models.architecture import Architecture
from xiqa.models.backbones import build_network
from xiqa.models.bundle import LoadedModel
from xiqa.models.calibrated import calibrated_log_odds
from xiqa.models.card import BundleCard, Layers
from xiqa.models.guard import fit_guard
from xiqa.models.preprocess import Preprocessing

GUARDED = ("body.blocks.2",)
SIZE = 64


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    card = BundleCard(
        name="tiny",
        created="2026-01-01",
        architecture=Architecture(head="evidence", width=12),
        preprocessing=Preprocessing(size=(SIZE, SIZE)),
        classes=("clean", "foreign"),
        poor_class=1,
        temperature=1.5,
        beta=(0.8, 1.3, 0.2),
        threshold=0.4,
        review_band=(0.3, 0.7),
        layers=Layers(last="fuse", multi=GUARDED),
        method="gradcam",
        intended_use="tests",
        limits="all",
        not_for="anything else",
        training_data="none",
        licence="Apache-2.0",
    )
    features = torch.randn(80, 24, generator=torch.Generator().manual_seed(1))
    network = build_network(card.architecture).eval()
    return LoadedModel(
        network, card.model_copy(update={"guard_layers": GUARDED}), fit_guard(features, GUARDED, 9.0)
    )


def scores_of(poor=40, good=70, seed=0, away=0.5):
    rng = np.random.default_rng(seed)
    odds = np.concatenate((rng.normal(3, 1.5, poor), rng.normal(-2, 1.5, good)))
    features = torch.from_numpy(rng.normal(away, 1, (poor + good, 24))).float()
    patients = [f"p{number}" for number in range(poor + good)]
    return SiteScores(odds, np.arange(poor + good) < poor, patients, features)


def test_probability_is_that_of_slope_and_shift(model):
    told = calibrate_at(model, scores_of(), "ward").card
    fit, logits = told.calibrated_at, torch.randn(9, 2, dtype=torch.float64)
    before, after = (calibrated_log_odds(logits, card).numpy() for card in (model.card, told))
    assert fit.slope != pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(after, fit.slope * before + fit.shift, rtol=1e-9)


def test_the_threshold_finds_what_it_promises_and_the_band_is_as_wide_on_either_side(model):
    scores = scores_of()
    told = calibrate_at(model, scores, "ward", sensitivity=0.9).card
    fit = told.calibrated_at
    found = expit(fit.slope * scores.log_odds + fit.shift) >= told.threshold
    assert found[scores.poor].mean() >= 0.95  # the limit is stricter than the share
    for edge, was in zip(told.review_band, model.card.review_band, strict=True):
        assert logit(edge) - logit(told.threshold) == pytest.approx(logit(was) - logit(model.card.threshold))


def test_the_guard_knows_the_site_and_the_others_as_before(model):
    scores = scores_of(away=2.5)  # a long way off
    derived = calibrate_at(model, scores, "ward")
    before, after = model.guard.distances(scores.features), derived.guard.distances(scores.features)
    assert (before >= model.guard.threshold).float().mean() > 0.5
    assert (after >= derived.guard.threshold).float().mean() < 0.05
    assert derived.guard.threshold >= model.guard.threshold
    assert len(derived.guard.centre) == len(model.guard.centre) + 1
    others = torch.randn(50, 24)
    assert (derived.guard.distances(others) <= model.guard.distances(others)).all()


def test_a_site_whose_images_are_all_different_is_refused(model):
    scores = scores_of()
    wide = SiteScores(scores.log_odds, scores.poor, scores.patients, scores.features * 20)
    with pytest.raises(ModelError, match="train with images of the site"):
        calibrate_at(model, wide, "ward")


def test_the_card_tells_its_parent_and_is_no_other_sites(model):
    scores = scores_of()
    told = calibrate_at(model, scores, "ward").card
    assert (told.name, told.calibrated_at.parent) == ("tiny at ward", model.card.hash)
    assert told.limits.startswith("Calibrated at ward")
    (evaluation,) = told.evaluations
    assert (evaluation.images, evaluation.poor, evaluation.name) == (110, 40, "ward")
    assert evaluation.sensitivity.value >= 0.9
    assert told.guard_reports == ()
    assert (len(told.reference.good), len(told.reference.poor_distances)) == (70, 40)
    fit = told.calibrated_at
    later = np.sort(expit(fit.slope * scores.log_odds[:40] + fit.shift))
    np.testing.assert_allclose(told.reference.poor, later, atol=6e-6)


def test_too_few_are_refused(model):
    with pytest.raises(ModelError, match="29 patients"):
        calibrate_at(model, scores_of(poor=28), "ward")
    with pytest.raises(ModelError, match="of 59 with good"):
        calibrate_at(model, scores_of(good=58), "ward")


def test_a_reference_has_one_image_a_patient(model):
    scores = scores_of()
    twice = SiteScores(scores.log_odds, scores.poor, ["one"] * 3 + scores.patients[3:], scores.features)
    told = with_reference(model, twice, "both").reference
    assert len(told.poor) == 38
    kept = np.delete(expit(scores.log_odds[:40]), [1, 2])  # of the first patient's three the first
    np.testing.assert_allclose(told.poor, np.sort(kept), atol=6e-6)
    assert len(told.good) == 70


def test_classes_are_known_by_name_and_test_images_left_out(model, tmp_path):
    def sample(key, label, split):
        return Sample(key, tmp_path / key, label, split)

    samples = (sample("a", 0, "train"), sample("b", 1, "val"), sample("c", 1, "test"))
    told = site_samples(model.card, Collection("folder", ("rejected", "accepted"), samples))
    assert [(one.key, one.label, one.patient) for one in told] == [("a", 1, "a"), ("b", 0, "b")]
    with pytest.raises(DatasetError, match="blurred"):
        site_samples(model.card, Collection("folder", ("blurred", "clean"), samples))


@pytest.mark.long
def test_calibrate_assess_and_monitor_from_the_command_line(model, tmp_path):
    rng = np.random.default_rng(0)
    for kind, count, level in (("good", 60, 60), ("poor", 30, 190)):
        (tmp_path / "images" / "train" / kind).mkdir(parents=True)
        for number in range(count):
            bright, noise = rng.normal(level, 30), rng.uniform(10, 40)
            pixels = rng.normal(bright, noise, (SIZE, SIZE)).clip(0, 255).astype(np.uint8)
            Pillow.fromarray(pixels).save(tmp_path / "images" / "train" / kind / f"{number}.png")
    torch.manual_seed(0)
    guard = fit_guard(torch.randn(90, 80), GUARDED, 1e6)
    save_bundle(tmp_path / "parent", model.network, model.card, guard)
    out = tmp_path / "derived"

    def run(*words):
        return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)

    told = run(
        "calibrate", tmp_path / "parent", "--data", tmp_path / "images", "--out", out, "--site", "ward"
    )
    assert told.exit_code == 0, told.stdout
    assert "Calibrated at ward" in told.stdout
    assert "60 good and 30 poor" in told.stdout
    card = read_card(out)
    assert card.calibrated_at.parent == read_card(tmp_path / "parent").hash
    weights = load_model(out).network.state_dict()
    assert all(
        torch.equal(weights[name], value)
        for name, value in load_model(tmp_path / "parent").network.state_dict().items()
    )

    files = sorted((tmp_path / "images" / "train" / "good").iterdir())[:40]
    rows = [result.disclosed().to_dict() for result in assess(load_model(out), files)]
    (tmp_path / "results.json").write_text(json.dumps(rows))
    told = run("monitor", tmp_path / "results.json", "--model", out)
    assert told.exit_code == 0, told.stdout
    assert "Nothing has moved" in told.stdout
    for row in rows:
        row["probability"] = min(1.0, row["probability"] + 0.3)
    (tmp_path / "results.json").write_text(json.dumps(rows))
    found = run("monitor", tmp_path / "results.json", "--model", out, "--json")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["drifts"][0]["moved"]
