"""A threshold compared with a number of another scale: the beta map forgotten by one consumer.

A card's threshold lies on the probability after temperature *and* beta map. Whoever reads the network's
outputs by itself must come to that very number, whatever the head.
"""

import json

import numpy as np
import pytest
import torch
import typer
from torch import nn
from typer.testing import CliRunner

import xiqa.cli.area_curve as area_curve
from xiqa.assessment.fragility import limit_margin
from xiqa.assessment.pipeline import assess
from xiqa.errors import ConfigError
from xiqa.export.graph import explained
from xiqa.models.architecture import Architecture
from xiqa.models.bundle import LoadedModel
from xiqa.models.calibrated import calibrated_log_odds
from xiqa.models.card import BundleCard, Layers
from xiqa.models.outputs import Outputs, output_count
from xiqa.models.preprocess import Preprocessing
from xiqa.saliency.registry import bind
from xiqa.training.generators.classifier import classifier_of
from xiqa.types import Image

SIZE = (12, 20)
BETA, TEMPERATURE, THRESHOLD = (0.4, 2.3, -0.7), 1.8, 0.35
TEXTS = dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "test")
GRADES = {"classes": ("none", "mild", "severe"), "poor_class": 2}
TWO = {"classes": ("good", "poor"), "poor_class": 1}
THREE = {"classes": ("good", "dark", "blurred")}
HEADS = {
    "two classes": (TWO, {}),
    "poor class first": (TWO | {"poor_class": 0}, {}),
    "one poor class of three": (THREE | {"poor_class": 2}, {}),
    "two poor classes of three": (THREE | {"poor_class": 1}, {"poor_classes": (1, 2)}),
    "labels": (THREE | {"poor_class": 1}, {"task": "labels", "poor_classes": (1, 2)}),
    "grades": (GRADES, {"task": "ordered"}),
    "degrees": (TWO, {"task": "degree", "problems": ("blur", "noise"), "limit": 0.4}),
}


def make_card(classes, outputs, count=None, **changes):
    entries = {
        "name": "beta",
        "created": "2026-01-01",
        "preprocessing": Preprocessing(size=SIZE, mean=(0.5,), std=(0.25,)),
        "outputs": Outputs(**outputs),
        "temperature": TEMPERATURE,
        "beta": BETA,
        "threshold": THRESHOLD,
        "review_band": (0.3, 0.4),
        "layers": Layers(last="layer", multi=("layer",)),
        "method": "gradcam",
        **TEXTS,
        **classes,
        **changes,
    }
    draft = BundleCard.model_construct(**entries)
    return BundleCard(**entries, architecture=Architecture(classes=count or output_count(draft)))


class Small(nn.Module):
    """A convolution, and logits of its mean; two of them, or one."""

    def __init__(self, outputs):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.layer = nn.Conv2d(1, 3, 3, stride=2)
        self.head = nn.Linear(3, outputs)
        for parameter in self.parameters():
            parameter.data = 1.5 * torch.randn(parameter.shape, generator=generator)

    def forward(self, images):
        return self.head(self.layer(images).relu().mean((2, 3)))


def model_of(card):
    return LoadedModel(Small(card.architecture.classes).eval(), card)


def picture(seed=2):
    return Image(np.random.default_rng(seed).uniform(0, 1, SIZE).astype(np.float32))


@pytest.mark.parametrize("head", HEADS)
def test_the_differentiable_log_odds_are_those_of_the_probability_that_is_told(head):
    card = make_card(*HEADS[head])
    logits = torch.randn(
        40, output_count(card), generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    told = model_of(card).probability(3 * logits)
    assert np.ptp(told) > 0.5
    np.testing.assert_allclose(calibrated_log_odds(3 * logits, card).sigmoid().numpy(), told, rtol=1e-9)


@pytest.mark.parametrize("poor", [0, 1])
def test_so_are_those_of_one_logit(poor):
    card = make_card(TWO | {"poor_class": poor}, {}, count=1)
    logits = torch.linspace(-6, 5, 12, dtype=torch.float64)[:, None]
    told = model_of(card).probability(logits)
    np.testing.assert_allclose(calibrated_log_odds(logits, card).sigmoid().numpy(), told, rtol=1e-9)
    assert (told[0] > told[-1]) == (poor == 0)


@pytest.mark.parametrize("head", HEADS)
def test_the_margin_has_the_sign_of_the_verdict(head):
    card = make_card(*HEADS[head])
    logits = 3 * torch.randn(60, output_count(card), generator=torch.Generator().manual_seed(4))
    poor = model_of(card).probability(logits) >= THRESHOLD
    assert 0 < poor.sum() < 60
    plain = make_card(*HEADS[head], beta=(1.0, 1.0, 0.0))
    assert (poor != (model_of(plain).probability(logits) >= THRESHOLD)).any()  # the map decides some of them
    np.testing.assert_array_equal(limit_margin(logits, card)[:, 0].numpy() >= 0, poor)


def test_fragility_says_poor_of_what_is_called_poor():
    card = make_card(*HEADS["two classes"])
    results = assess(model_of(card), [picture(seed) for seed in range(4)], method="gradient", fragility=True)
    for result in results:
        odds = np.log(result.probability / (1 - result.probability)) - np.log(THRESHOLD / (1 - THRESHOLD))
        assert result.fragility.margin == pytest.approx(odds, rel=1e-4)


@pytest.mark.parametrize("poor", [0, 1])
def test_a_graph_gives_the_calibrated_probability(poor):
    model = model_of(make_card(TWO | {"poor_class": poor}, {}))
    images = torch.randn(5, 1, *SIZE, generator=torch.Generator().manual_seed(1))
    logits, probability, *_ = explained(model, bind("gradcam"))(images)
    np.testing.assert_allclose(probability.detach().numpy(), model.probability(logits), rtol=1e-5)


@pytest.mark.parametrize("head", ["two classes", "poor class first", "labels"])
def test_masks_begin_at_the_probability_that_assess_tells(head, tmp_path, monkeypatch):
    model = model_of(make_card(*HEADS[head]))
    monkeypatch.setattr("xiqa.models.load_model", lambda name: model)
    monkeypatch.setattr("xiqa.imaging.read_image", lambda path: picture())
    application = typer.Typer()
    application.command()(area_curve.command)
    options = ["image.png", "--area", "0.2", "--iterations", "2", "--cells", "4", "--sigma", "1"]
    done = CliRunner().invoke(application, [*options, "--no-meaningful", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    whole = json.loads((tmp_path / "curves.json").read_text())["whole"]
    logits = model.network(torch.from_numpy(model.prepare(picture())[0])[None])
    assert whole == pytest.approx(float(model.probability(logits)[0]), rel=1e-4)


@pytest.mark.parametrize("head", ["two classes", "poor class first"])
def test_generators_turn_a_verdict_at_the_threshold(head):
    grey = torch.rand(30, 1, *SIZE, generator=torch.Generator().manual_seed(9))
    grey *= torch.linspace(0, 3, 30)[:, None, None, None]
    model = model_of(make_card(*HEADS[head]))
    probabilities = model.probability(model.network((grey - 0.5) / 0.25))
    threshold = float(np.quantile(probabilities, 0.37))
    model = model_of(make_card(*HEADS[head], threshold=threshold, review_band=(threshold, threshold)))
    found = classifier_of(model).margin(grey).detach().numpy() >= 0
    np.testing.assert_array_equal(found, probabilities >= threshold)
    assert found.sum() == 19


def test_generators_refuse_heads_whose_problems_come_together():
    with pytest.raises(ConfigError, match="labels"):
        classifier_of(model_of(make_card(*HEADS["labels"])))
