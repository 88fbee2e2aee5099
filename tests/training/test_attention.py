"""A recipe with ``head = "lficam"`` becomes a bundle whose own method is the map it looks by."""

import numpy as np
import pytest
import torch

import xiqa
from xiqa.models.bundle import load_model
from xiqa.training import train as training

from .conftest import make_samples, radiograph


@pytest.mark.long
def test_a_recipe_becomes_a_bundle_that_looks_by_its_map(make_recipe, tmp_path, monkeypatch):
    samples = make_samples(16, "train") + make_samples(8, "val", first=100)
    recipe = make_recipe(
        architecture={"backbone": "tf_efficientnet_lite0", "head": "lficam", "stages": (2,)},
        phases=[
            {"epochs": 3, "size": (64, 64), "learning_rate": 5e-3, "frozen": ["body.conv_stem", "body.bn1"]}
        ],
        guard_layers=["attended"],
        method="lficam",
    )
    monkeypatch.setattr(training, "read_samples", lambda recipe, data: samples)
    card = training.train(recipe, tmp_path, tmp_path / "run", progress=False)
    model = load_model(tmp_path / "run" / "bundle")
    assert model.card == card
    assert card.layers.last == "attended"
    image = radiograph(3, poor=True)[0]
    (result,) = xiqa.assess(model, image)
    array, _ = model.prepare(image)
    with torch.no_grad():
        expected = model.network.attention_map(torch.from_numpy(array)[None])[0].numpy()
    np.testing.assert_allclose(result.saliency.values, expected, atol=1e-5)
    assert result.saliency.values.shape == (8, 8)
