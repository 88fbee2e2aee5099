"""The papers' recipes end to end, each in its quick version made smaller still."""

import json

import pytest

import xiqa
from xiqa.simulation.chest import simulate_chest
from xiqa.training.recipe import Recipe
from xiqa.training.train import train

from .test_recipe import QUICK

SIZE = {"covid": 128}  # the features must be large enough to be pooled
COUNT = {"covid": 160, "corrupt": 160}  # few of them are good, and four must be held back to calibrate on


@pytest.mark.long
@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.stem)
def test_a_quick_recipe_becomes_a_bundle_that_assesses(path, tmp_path):
    family = path.stem.split("-")[0]
    side, count = SIZE.get(family, 64), COUNT.get(family, 32)
    phase = Recipe.read(path, quick=True).phases[0].model_dump(exclude_none=True)
    changes = {
        "batch_size": 8,
        "pretrained": False,
        "data": {"images": count},
        "preprocessing": {"size": (side, side)},
        "phases": [phase | {"epochs": 2}],
    }
    if path.stem.startswith("covid"):
        changes["architecture"] = {"input_size": (side, side)}
    recipe = Recipe.read(path, quick=True, changes=changes)
    card = train(recipe, None, tmp_path, progress=False)
    assert card.evaluations[0].images == count // 4
    report = json.loads((tmp_path / "report" / "classifier.json").read_text())
    assert [row["name"] for row in report["classes"]] == list(recipe.watched)
    assert [row["epoch"] for row in report["history"]] == [1, 2]
    assert (tmp_path / "report" / "classifier.png").stat().st_size > 10_000
    radiograph = simulate_chest(3, size=(80, 80)).image
    (result,) = xiqa.assess(xiqa.load_model(tmp_path / "bundle"), radiograph)
    assert 0 <= result.probability <= 1
    assert result.saliency is not None
    if len(card.problems) > 1:
        assert result.provenance["problem"] in card.problems
        assert sorted(result.provenance["problems"]) == sorted(card.problems)


@pytest.mark.long
def test_the_smallest_quick_recipe_learns(tmp_path):
    """Four problems told apart on random frozen features: 13 of 24 by chance has a probability of 0.003."""
    path = next(path for path in QUICK if path.stem == "covid-densenet201")
    recipe = Recipe.read(path, quick=True, changes={"data": {"images": 96}})
    train(recipe, None, tmp_path, progress=False)
    report = json.loads((tmp_path / "report" / "classifier.json").read_text())
    accuracy = [row["accuracy"] for row in report["history"]]
    assert max(accuracy) >= 13 / 24
    losses = [row["loss"] for row in report["history"]]
    assert losses[-1] < 0.8 * losses[0]
