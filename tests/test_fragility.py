"""How fragile a verdict is: closed forms on a linear classifier of images, rows, page and command."""

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.report.pages import rows_of
from xiqa.assessment.fragility import image_fragility, limit_margin, require_gradients
from xiqa.assessment.pipeline import assess
from xiqa.errors import ConfigError
from xiqa.models.architecture import Architecture
from xiqa.models.bundle import LoadedModel
from xiqa.models.calibration import probability_of
from xiqa.models.card import BundleCard, Layers
from xiqa.models.preprocess import Preprocessing
from xiqa.report.html import report_html
from xiqa.report.journal import Entry
from xiqa.report.rows import csv_bytes
from xiqa.types import Image, Verdict

SIZE = (12, 16)
TEXTS = dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "test")


class Plain(nn.Module):
    """Two logits linear in the input; a convolution, so that it has a layer."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.layer = nn.Conv2d(3, 1, SIZE, bias=False)
        self.layer.weight.data = 0.2 * torch.randn(1, 3, *SIZE, generator=generator)

    def forward(self, images):
        z = self.layer(images)[:, :, 0, 0]
        return torch.cat([-z, z], dim=1)


def card(**changes) -> BundleCard:
    entries = {
        "name": "plain",
        "created": "2025-01-01",
        "architecture": Architecture(backbone="resnet18"),
        "preprocessing": Preprocessing(size=SIZE, mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2)),
        "classes": ("clean", "foreign"),
        "poor_class": 1,
        "temperature": 1.7,
        "threshold": 0.3,
        "review_band": (0.3, 0.3),
        "layers": Layers(last="layer", multi=("layer",)),
        "method": "gradient",
        **TEXTS,
    }
    return BundleCard(**entries | changes)


@pytest.fixture(scope="module")
def model():
    return LoadedModel(Plain().eval(), card())


def radiograph(shape=SIZE, seed=0, mask=None):
    pixels = np.random.default_rng(seed).uniform(0.1, 0.9, shape).astype(np.float32)
    return Image(pixels, mask=mask)


def in_grey(model, inside):
    """The log-odds' gradient at the grey image: what linear algebra says of the network."""
    std = torch.tensor(model.card.preprocessing.std)[:, None, None]
    weight = 2 * (model.network.layer.weight.detach()[0] / std).sum(dim=0) / model.card.temperature
    return (weight.numpy() * inside).astype(np.float64)


@pytest.mark.parametrize(
    ("image", "inside"),
    [
        (radiograph(), np.ones(SIZE)),
        (radiograph((12, 8)), np.repeat([[0, 1, 0]], 12, axis=0).repeat([4, 8, 4], axis=1)),  # letterbox
        (
            radiograph(mask=np.arange(16)[None].repeat(12, 0) >= 5),
            np.arange(16)[None].repeat(12, 0) >= 5,
        ),
    ],
    ids=["whole", "letterbox", "collimated"],
)
def test_a_linear_classifiers_fragility_is_its_margin_over_norms(model, image, inside):
    array, frame = model.prepare(image)
    found = image_fragility(model, array, frame, image)
    weight = in_grey(model, inside)
    with torch.no_grad():
        logits = model.network(torch.from_numpy(array)[None])
    odds = probability_of(logits.numpy(), 1, model.card.temperature)[0]
    margin = math.log(odds / (1 - odds)) - math.log(0.3 / 0.7)
    assert found.margin == pytest.approx(margin, rel=1e-3)
    assert found.fgsm == pytest.approx(abs(margin) / np.abs(weight).sum(), rel=0.02)
    least = abs(margin) / np.abs(weight).sum()  # DeepFool goes 2 % beyond the limit, one step perhaps less
    assert least * (1 - 1e-3) < found.linf < 1.02 * least * (1 + 2e-3)
    assert found.linf <= found.fgsm
    shortest = 1.02 * (abs(margin) + 1e-4) / np.linalg.norm(weight)
    assert found.l2 == pytest.approx(shortest, rel=1e-3)
    assert found.pixels == int(inside.sum())
    assert found.mean_square == pytest.approx(shortest / math.sqrt(inside.sum()), rel=1e-3)
    grey = (array[0] * 0.5 + 0.5) * inside
    assert found.relative == pytest.approx(shortest / np.linalg.norm(grey), rel=1e-3)


@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("poor", [0, 1])
def test_the_margin_is_the_calibrated_log_odds_above_the_limit(classes, poor):
    names = tuple(f"class {number}" for number in range(max(2, classes)))
    told = card(classes=names, poor_class=poor, architecture=Architecture(classes=classes))
    logits = torch.randn(5, classes, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    odds = probability_of(logits.numpy(), poor, 1.7)
    expected = np.log(odds / (1 - odds)) - np.log(0.3 / 0.7)
    np.testing.assert_allclose(limit_margin(logits, told)[:, 0].numpy(), expected)


def test_a_limit_of_nothing_gives_a_number_still():
    assert limit_margin(torch.zeros(1, 2), card(threshold=0.0, review_band=(0.0, 0.0))).isfinite().all()


def test_a_verdict_no_change_flips_says_so(model):
    stubborn = LoadedModel(Plain().eval(), card(threshold=0.3))
    stubborn.network.layer.weight.data.zero_()
    image = radiograph()
    found = image_fragility(stubborn, *stubborn.prepare(image), image)
    assert (found.fgsm, found.linf, found.l2, found.mean_square, found.relative) == (None,) * 5


class TestAssessments:
    @pytest.fixture(scope="class")
    def results(self, model):
        return assess(model, [radiograph(seed=seed) for seed in range(3)], fragility=True, batch_size=2)

    def test_is_told_on_request_alone(self, model, results):
        assert all(result.fragility is not None for result in results)
        (plain,) = assess(model, radiograph())
        assert plain.fragility is None
        assert plain.to_dict()["fragility"] is None
        assert b"fragility" not in csv_bytes([plain])

    def test_a_batch_is_its_images(self, model, results):
        for seed, together in enumerate(results):
            (alone,) = assess(model, radiograph(seed=seed), fragility=True)
            assert alone.fragility == together.fragility

    def test_what_cannot_be_read_has_none(self, model, tmp_path):
        (tmp_path / "broken.png").write_bytes(b"no image")
        first, second = assess(model, [tmp_path / "broken.png", radiograph()], fragility=True)
        assert first.verdict is Verdict.NOT_ASSESSED
        assert first.fragility is None
        assert second.fragility is not None

    def test_rows(self, results):
        assert results[0].to_dict()["fragility"]["fgsm"] == results[0].fragility.fgsm
        table = list(csv.DictReader(io.StringIO(csv_bytes(results).decode())))
        assert float(table[1]["fragility_fgsm"]) == results[1].fragility.fgsm

    def test_the_page_tells_it_in_grey_levels(self, results):
        entry = Entry("", results[0])
        (row,) = rows_of(report_html([entry], lambda picture: None))
        assert f"at most {255 * results[0].fragility.linf:.2g} of 255 grey levels" in row["fragility"][0]
        nothing = replace(results[0], fragility=None)
        (row,) = rows_of(report_html([Entry("", nothing)], lambda picture: None))
        assert "fragility" not in row

    def test_an_exported_model_has_no_gradients(self):
        with pytest.raises(ConfigError, match="PyTorch"):
            require_gradients(object())
