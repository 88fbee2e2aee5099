"""Scores against areas: a classifier that looks at a known disc, the figure, the command."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn

from xiqa.cli import main
from xiqa.report.area_curves import draw_area_curves, masked_picture
from xiqa.saliency.masking.extremal_curves import (
    MaskCurve,
    extremal_curve,
    meaningful_curve,
    plain_scores,
    smallest_area,
)
from xiqa.types import Image, SaliencyMap

SIZE = (24, 32)


class LooksAtABlob(nn.Module):
    """Two logits of how much of a bright blob at (8, 20) is seen; in training mode it refuses."""

    def __init__(self):
        super().__init__()
        rows, columns = torch.meshgrid(*(torch.arange(side) for side in SIZE), indexing="ij")
        self.register_buffer("where", ((rows - 8) ** 2 + (columns - 20) ** 2 < 20).float())
        self.register_buffer("blob", 4 * self.where)

    def forward(self, images):
        assert not self.training
        z = 6 * ((images[:, 0] * self.where).sum(dim=(1, 2)) / (4 * self.where.sum()) - 0.7)
        return torch.stack([-z, z], dim=1)


@pytest.fixture(scope="module")
def network():
    return LooksAtABlob().train()  # found so, and left so


@pytest.fixture(scope="module")
def image(network):
    return network.blob[None].clone()


def logit(logits):
    return logits[:, 1]


def probability(logits):
    return logits.softmax(dim=1)[:, 1]


def test_shown_is_enough_from_the_blobs_area_on_and_hidden_takes_it(network, image):
    areas, settings = (0.02, 0.15), {"sigma": 6.0, "iterations": 50, "cells": 14, "smooth": 1.2}
    shown = extremal_curve(network, image, logit, probability, areas, game="preserve", **settings)
    hidden = extremal_curve(network, image, logit, probability, areas, game="delete", **settings)
    whole, nothing = plain_scores(network, image, probability, sigma=6.0)
    assert whole > 0.9
    assert nothing < 0.1
    assert shown.scores[0] < shown.scores[1]
    assert shown.scores[1] > 0.8
    assert hidden.scores[1] < 0.2
    assert (shown.hidden, hidden.hidden) == (False, True)
    assert smallest_area(shown, 0.5) == 1
    assert smallest_area(shown, 1.1) is None
    assert network.training
    for curve in (shown, hidden):
        np.testing.assert_allclose(curve.areas, curve.masks.mean(axis=(1, 2)), rtol=1e-5)


def test_meaningful_perturbations_areas_rise_as_the_price_falls(network, image):
    curve = meaningful_curve(
        network, image, probability, probability, (1e-3, 1e-1), sigma=6.0, iterations=30, grid=10
    )
    assert curve.areas[0] < curve.areas[1]  # whatever the prices' order
    assert curve.scores[1] < 0.5
    assert curve.hidden


class TestFigure:
    def test_what_is_not_shown_is_dark(self):
        radiograph = Image(np.full((20, 30), 0.8, np.float32))
        mask = np.zeros((10, 15), np.float32)
        mask[:, :7] = 1
        picture = np.asarray(
            masked_picture(radiograph, SaliencyMap(mask, "extremal", 1, input_size=(20, 30)))
        )
        assert picture[10, 3].tolist() == [204, 204, 204]
        assert picture[10, 27].max() < 110

    def test_is_written(self, tmp_path):
        radiograph = Image(np.full((20, 30), 0.8, np.float32))
        masks = np.ones((2, 10, 15), np.float32)
        curve = MaskCurve("shown", (0.1, 0.2), (0.3, 0.8), masks, False)
        rows = {"shown": [SaliencyMap(mask, "extremal", 1, input_size=(20, 30)) for mask in masks]}
        draw_area_curves(tmp_path / "a.png", radiograph, rows, [curve], whole=0.9, nothing=0.1, limit=0.5)
        picture = np.asarray(Pillow.open(tmp_path / "a.png").convert("RGB")).astype(int)
        assert min(picture.shape[:2]) > 300
        blue = (abs(picture - (0, 114, 178)).sum(axis=2) < 30).sum()
        assert blue > 100  # the curve is there


@pytest.mark.long
def test_the_command(tmp_path, monkeypatch, capsys):
    from xiqa.models.architecture import Architecture
    from xiqa.models.backbones import build_network
    from xiqa.models.bundle import save_bundle
    from xiqa.models.card import BundleCard, Layers
    from xiqa.models.preprocess import Preprocessing

    texts = dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "test")
    card = BundleCard(
        name="tiny",
        created="2025-01-01",
        architecture=Architecture(backbone="resnet18"),
        preprocessing=Preprocessing(size=(64, 64)),
        classes=("clean", "foreign"),
        poor_class=1,
        temperature=1.0,
        threshold=0.5,
        review_band=(0.5, 0.5),
        layers=Layers(last="layer4", multi=("layer3", "layer4")),
        method="gradcam",
        **texts,
    )
    save_bundle(tmp_path / "bundle", build_network(card.architecture), card)
    Pillow.fromarray(np.random.default_rng(0).integers(0, 255, (80, 60), dtype=np.uint8)).save(
        tmp_path / "a.png"
    )
    out = tmp_path / "out"
    arguments = [
        "area-curve",
        tmp_path / "a.png",
        "--model",
        tmp_path / "bundle",
        "--area",
        0.2,
        "--iterations",
        3,
    ]
    monkeypatch.setattr(sys, "argv", ["xiqa", *map(str, arguments), "--cells", "8", "--out", str(out)])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    told = json.loads((out / "curves.json").read_text())
    assert [len(curve["areas"]) for curve in told["curves"]] == [1, 1, 4]
    assert {path.name for path in out.iterdir()} == {"masks.png", "masks.npz", "curves.json"}
    assert "crosses the limit" in capsys.readouterr().out
