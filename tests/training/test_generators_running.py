"""Generators in training and from the command line: stopped, drawn in parts, with what recipes say wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.test_bundle import make_card
from xiqa.cli import main
from xiqa.datasets import Sample
from xiqa.errors import BundleError, ConfigError, DatasetError
from xiqa.geometry import Box
from xiqa.models.backbones import build_network
from xiqa.models.bundle import load_model, save_bundle
from xiqa.models.explainers.generator_bundle import load_generators
from xiqa.models.preprocess import Preprocessing
from xiqa.simulation.chest import simulate_chest
from xiqa.training import generators as training
from xiqa.training.data import TrainingImage
from xiqa.training.generators import (
    ErasingParts,
    GeneratorModule,
    GeneratorRecipe,
    ImageParts,
    covering,
)
from xiqa.training.generators.parts import erasing_loader, letters_beside
from xiqa.training.targets import Truth
from xiqa.types import Image

from .blobs import (
    BRIGHT,
    CLASSIFIER,
    LeftBlob,
    fitted,
    make_recipe,
)


class Stop(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize(
    "output", ["painted", *(pytest.param(name, marks=pytest.mark.long) for name in ("residual", "direct"))]
)
def test_training_that_is_killed_ends_with_the_same_weights(tmp_path, monkeypatch, output):
    networks = {"width": 4, "depth": 1, "output": output}
    options = {"warmup": int(output != "residual"), "noise": 0.02, "jitter": 2, "blur": 1.0, "zoom": 0.1}
    aim = {"pace": 0.2} if output == "painted" else None  # its share and factor go on, too
    recipe = make_recipe(epochs=2, networks=networks, aim=aim, **options)
    monkeypatch.setattr(training.fit, "STEPS_BETWEEN_CHECKPOINTS", 3)
    whole, expected = fitted(recipe, tmp_path / "whole", BRIGHT)
    step, stop = GeneratorModule.training_step, 14

    def killed(self, batch, index):
        if self.global_step == stop and self.erasing is None:
            raise Stop
        return step(self, batch, index)

    monkeypatch.setattr(GeneratorModule, "training_step", killed)
    with pytest.raises(Stop):
        fitted(recipe, tmp_path / "killed", BRIGHT)
    monkeypatch.setattr(GeneratorModule, "training_step", step)
    resumed, achieved = fitted(recipe, tmp_path / "killed", BRIGHT, resume=True)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, msg=name)
    assert achieved.change == pytest.approx(expected.change)
    monkeypatch.setattr(GeneratorModule, "training_step", killed)  # what is done is not done again
    again, _ = fitted(recipe, tmp_path / "killed", BRIGHT, resume=True)
    assert torch.equal(again.adversarial.head.weight, resumed.adversarial.head.weight)


def test_a_part_is_a_window_of_the_image_that_seed_and_epoch_decide():
    radiographs = make_recipe(augmentation=False).image_recipe(Preprocessing(size=(40, 48)))
    grey = np.arange(40 * 48, dtype=np.uint16).reshape(40, 48)  # every pixel another value
    parts = ImageParts([TrainingImage(grey, (), 0, True)], radiographs, (12, 16))
    places = set()
    for epoch in range(6):
        values = parts[epoch, 0].images[0] * 255
        top, left = divmod(round(float(values[0, 0])), 48)
        np.testing.assert_allclose(values, grey[top : top + 12, left : left + 16], atol=1e-2)
        places.add((top, left))
    assert len(places) > 3
    assert torch.equal(parts[2, 0].images, parts[2, 0].images)
    turned = make_recipe(augmentation={"rotate": 5, "scale": 0, "translate": 0}).image_recipe(
        radiographs.preprocessing
    )
    bright = ImageParts([TrainingImage(np.full((40, 48), 200, np.uint8), (), 0, True)], turned, (24, 24))
    assert all(float(bright[epoch, 0].images.min()) > 0.3 for epoch in range(8))  # no black corners


def test_parts_lie_around_objects_as_often_as_wanted():
    radiographs = make_recipe(augmentation=False).image_recipe(Preprocessing(size=(64, 64)))
    grey = np.zeros((64, 64), np.uint8)
    grey[50, 12] = 255
    radiograph = TrainingImage(grey, (Truth(Box(11, 49, 13, 51), True),), 1, True)
    seen = {}
    for focus in (0.0, 1.0):
        parts = ImageParts([radiograph], radiographs, (24, 24), focus)
        seen[focus] = np.mean([float(parts[epoch, 0].images.max()) > 0.9 for epoch in range(40)])
    assert seen[1.0] == 1
    assert 0 < seen[0.0] < 0.6


def test_a_part_with_an_object_and_without_differ_in_the_object_alone():
    radiographs = make_recipe(augmentation={"noise": 0.05, "rotate": 5}).image_recipe(
        Preprocessing(size=(64, 64))
    )
    clean = np.tile(np.arange(64, dtype=np.uint8) + 60, (64, 1))
    laid = clean.copy()
    laid[28:36, 28:36] += 40
    truth = Truth(Box(28, 28, 35, 35), True)
    pair = TrainingImage(laid, (truth,), 1, True), TrainingImage(clean, (), 0, True)
    parts = ErasingParts([pair], radiographs, (24, 24))
    for epoch in range(5):
        batch = parts[epoch, 0]
        covered = covering(batch.images, batch.target)
        assert 40 < float((covered > 0.5).sum()) < 90  # of the object's 64 pixels, a little turned and scaled
        assert float((covered == 0).float().mean()) > 0.8  # changed alike elsewhere, noise included
    assert torch.equal(parts[1, 0].target, parts[1, 0].target)
    assert not torch.equal(parts[1, 0].target, parts[2, 0].target)


def test_letters_lie_near_objects_and_stay():
    boxes = [Box(150, 150, 170, 170)]
    inks = [letters_beside((320, 320), boxes, np.random.default_rng(seed)) for seed in range(12)]
    drawn = [ink for ink in inks if ink.any()]
    assert 0 < len(drawn) < len(inks)
    for ink in drawn:
        rows, columns = np.nonzero(ink > 0.5)
        assert np.hypot(rows - 160, columns - 160).min() < 0.2 * 320
    assert not letters_beside((320, 320), (), np.random.default_rng(0)).any()

    recipe = make_recipe(
        size=(160, 160), augmentation=False, inserted=6, letters=True, crop=(96, 96), batch_size=1
    )
    radiographs = recipe.image_recipe(Preprocessing(size=(160, 160)))
    dark = Image(np.full((160, 160), 0.2, np.float32))
    sample = Sample("dark", Path(), 0, "train", source=lambda: dark)
    white = [
        (batch.images > 0.9) & (batch.target > 0.9) for batch in erasing_loader(recipe, radiographs, [sample])
    ]
    assert any(letters.any() for letters in white)  # with the objects and without


def test_the_classifier_stays_out_of_the_checkpoint_and_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(training.fit, "STEPS_BETWEEN_CHECKPOINTS", 3)
    fitted(make_recipe(epochs=1), tmp_path)
    state = torch.load(tmp_path / "fit" / "last.ckpt", weights_only=True)["state_dict"]
    assert {name.split(".")[0] for name in state} == {"generators", "balance"}
    assert torch.equal(CLASSIFIER.network.disc, LeftBlob().disc)


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    card = make_card()
    save_bundle(tmp_path / "model", build_network(card.architecture), card)
    return tmp_path / "model"


def write_recipe(folder, **changes):
    lines = {
        "kind": '"twogenerator"',
        "name": '"tiny"',
        "epochs": 1,
        "simulated": 8,
        "pictures": 2,
        "crop": [48, 48],
    } | changes
    text = "".join(f"{key} = {value}\n" for key, value in lines.items())
    (folder / "recipe.toml").write_text(text + "[networks]\nwidth = 4\ndepth = 1\n")
    return folder / "recipe.toml"


def test_a_recipe_becomes_a_bundle_that_explains(tmp_path, model):
    recipe = write_recipe(tmp_path, warmup=1, inserted=3)
    told = training.run(recipe, None, tmp_path / "run", model=str(model), resume=False, seed=5)
    assert f"twogenerator:bundle={tmp_path / 'run' / 'bundle'}" in told
    assert "On 2 validation images" in told
    assert "Few verdicts turn" in told  # after one step
    loaded, classifier = load_generators(tmp_path / "run" / "bundle"), load_model(model)
    assert loaded.card.recipe["seed"] == 5
    loaded.require(classifier.network)
    import xiqa

    method = f"twogenerator:bundle={tmp_path / 'run' / 'bundle'}"
    radiograph = simulate_chest(3, size=(90, 70)).image
    (found,) = xiqa.explain(classifier, radiograph, method)[method]
    assert found.values.shape == (64, 64)
    assert np.isfinite(found.values).all()
    (result,) = xiqa.assess(classifier, radiograph, method=method)
    assert result.saliency.values == pytest.approx(found.values)
    assert (tmp_path / "run" / "pictures.png").stat().st_size > 1000
    other = build_network(classifier.card.architecture)
    with pytest.raises(BundleError, match="another classifier"):
        loaded.require(other)


def test_the_command_takes_the_recipe_in_small(tmp_path, model, capsys, monkeypatch):
    recipe = write_recipe(tmp_path, simulated=0, epochs=50)
    recipe.write_text(recipe.read_text() + "[quick]\nsimulated = 4\nepochs = 1\npictures = 0\n")
    monkeypatch.setattr("sys.argv", [
        "xiqa", "train", str(recipe), "--quick", "--model", str(model), "--out", str(tmp_path / "run"),
    ])  # fmt: skip
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    assert "explain with them" in capsys.readouterr().out
    assert load_generators(tmp_path / "run" / "bundle").card.name == "tiny-quick"
    assert not (tmp_path / "run" / "pictures.png").exists()


def test_the_shipped_recipe_reads_in_both_sizes():
    path = Path(__file__).parents[2] / "src" / "xiqa" / "recipes" / "twogenerator.toml"
    whole, small = GeneratorRecipe.read(path), GeneratorRecipe.read(path, quick=True)
    assert whole.networks.count == 2
    assert whole.simulated == 0 < small.simulated


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"epochs": 0}, "epochs"),
        ({"name": '"A b"'}, "name"),
        ({"epoch": 3}, "epoch"),
        ({"name": "x"}, "TOML"),
    ],
)
def test_a_wrong_entry_is_told(tmp_path, changes, told):
    with pytest.raises(ConfigError, match=told):
        GeneratorRecipe.read(write_recipe(tmp_path, **changes))


def test_what_is_missing_is_told(tmp_path, model):
    recipe = write_recipe(tmp_path, simulated=0)
    with pytest.raises(ConfigError, match="--model"):
        training.run(recipe, None, tmp_path / "run", model=None, resume=False, seed=None)
    with pytest.raises(DatasetError, match="no training images"):
        training.run(recipe, None, tmp_path / "run", model=str(model), resume=False, seed=None)
    with pytest.raises(ConfigError, match="cannot read"):
        GeneratorRecipe.read(tmp_path / "none.toml")
