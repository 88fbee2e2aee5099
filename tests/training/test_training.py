"""Training end to end on bright squares: it learns, resumes inside an epoch, and writes a bundle."""

import numpy as np
import pytest
import torch

from tests.training.killing import whole_and_resumed
from xiqa.errors import DatasetError
from xiqa.models.backbones import build_network
from xiqa.models.bundle import load_model
from xiqa.scoring.classifier import ClassifierReport
from xiqa.training import train as train_module
from xiqa.training.data import EpochLoader, ImageSet, load_images
from xiqa.training.fit import fit, load_average
from xiqa.training.module import QualityModule

from .conftest import make_samples


@pytest.fixture(scope="module")
def samples():
    return make_samples(16, "train") + make_samples(8, "val", first=100)


def loaders(recipe, samples):
    radiographs = load_images(samples[:16], recipe.preprocessing)
    return EpochLoader(ImageSet(radiographs, recipe, (64, 64), training=True), 4, seed=recipe.seed)


def test_the_same_seed_gives_the_same_batches_and_every_epoch_another(make_recipe, samples):
    recipe = make_recipe()
    first, again = loaders(recipe, samples), loaders(recipe, samples)
    one, two = [b.images for b in first], [b.images for b in again]
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, [b.images for b in first], strict=True))


def test_every_image_is_served_once_an_epoch(make_recipe, samples):
    loader = loaders(make_recipe(), samples)
    labels = torch.cat([batch.labels for batch in loader])
    assert len(loader) == 4
    assert sorted(labels.tolist()) == [0] * 8 + [1] * 8


def test_a_loader_goes_on_inside_an_epoch(make_recipe, samples):
    whole = [batch.images for batch in loaders(make_recipe(), samples)]
    stopped, resumed = loaders(make_recipe(), samples), loaders(make_recipe(), samples)
    reading = iter(stopped)
    next(reading)
    resumed.load_state_dict(stopped.state_dict())
    rest = [batch.images for batch in resumed]
    assert len(rest) == 3
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[1:], strict=True))


@pytest.mark.long
def test_training_that_is_killed_inside_an_epoch_ends_with_the_same_weights(
    make_recipe, samples, tmp_path, monkeypatch
):
    recipe = make_recipe(phases=[{"epochs": 2, "size": (64, 64), "frozen": ["body.conv_stem", "body.bn1"]}])
    train, val = (load_images(part, recipe.preprocessing) for part in (samples[:16], samples[16:]))
    monkeypatch.setattr("xiqa.training.fit.STEPS_BETWEEN_CHECKPOINTS", 3)

    def run(folder, *, resume=False):
        torch.manual_seed(0)
        network = build_network(recipe.architecture)
        fit(network, recipe, train, val, folder, resume=resume, progress=False)
        return network.state_dict()

    whole, resumed = whole_and_resumed(run, tmp_path, monkeypatch, step=5)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, msg=name)


@pytest.mark.long
def test_a_recipe_becomes_a_bundle_that_finds_the_squares(make_recipe, samples, tmp_path, monkeypatch):
    phase = {"epochs": 10, "size": (64, 64), "learning_rate": 1e-2, "frozen": ["body"]}
    recipe = make_recipe(phases=[phase])
    monkeypatch.setattr(train_module, "read_samples", lambda recipe, data: samples)
    card = train_module.train(recipe, tmp_path, tmp_path / "run", progress=False)
    model = load_model(tmp_path / "run" / "bundle")
    assert model.card == card
    (scores,) = card.evaluations
    assert (scores.images, scores.poor, scores.patients) == (8, 4, 8)
    assert scores.auc.value > 0.9
    assert scores.sensitivity.value >= recipe.sensitivity
    report = ClassifierReport.model_validate_json((tmp_path / "run/report/classifier.json").read_text())
    assert report.classes[1].auc == pytest.approx(scores.auc.value, abs=1e-6)
    assert [(row.images, row.observed) for row in report.classes[1].reliability] == [
        (row.images, row.observed) for row in scores.reliability
    ]
    assert report.classes[1].calibration_error == pytest.approx(scores.calibration_error.value, abs=1e-3)
    hits = 0
    for sample in samples[17::2]:
        array, _ = model.prepare(sample.read())
        with torch.no_grad():
            evidence = model.network.evidence_map(torch.from_numpy(array)[None])[0, 0]
        y, x = np.unravel_index(int(evidence.argmax()), evidence.shape)
        box = sample.annotations[0].box
        hits += box.x0 - 8 <= 8 * x + 3.5 <= box.x1 + 8 and box.y0 - 8 <= 8 * y + 3.5 <= box.y1 + 8
    assert hits >= 3


def test_the_average_of_checkpoints_is_the_mean_of_every_number(tmp_path):
    torch.manual_seed(0)
    networks = [torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2)) for _ in range(3)]
    paths = []
    for number, network in enumerate(networks):
        network[1].running_var.fill_(float(number))
        paths.append(tmp_path / f"{number}.ckpt")
        state = {f"network.{name}": value for name, value in network.state_dict().items()}
        torch.save({"state_dict": state}, paths[-1])
    load_average(networks[0], paths)
    assert networks[0][1].running_var.tolist() == [1.0, 1.0]
    expected = torch.stack([torch.load(path)["state_dict"]["network.0.weight"] for path in paths]).mean(0)
    torch.testing.assert_close(networks[0][0].weight.detach(), expected)
    load_average(networks[0], paths[2:])
    assert torch.equal(networks[0][0].weight, networks[2][0].weight)


def test_a_phase_may_weigh_the_loss_otherwise(make_recipe, samples):
    phases = [{"epochs": 1}, {"epochs": 1, "loss": {"image": 0.0, "dense": 0.0, "region": 0.0}}]
    recipe = make_recipe(phases=phases)
    batch = next(iter(loaders(recipe, samples)))
    losses = []
    for phase in recipe.phases:
        module = QualityModule(build_network(recipe.architecture), recipe, phase, 4)
        module.log_dict = lambda *args, **options: None
        losses.append(float(module.training_step(batch, 0).detach()))
    assert losses[0] > losses[1] == 0


def test_a_set_without_poor_images_is_told(make_recipe, samples, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "read_samples", lambda recipe, data: samples[::2])
    with pytest.raises(DatasetError, match="both classes"):
        train_module.train(make_recipe(), tmp_path, tmp_path / "run", progress=False)


def test_frozen_parts_keep_weights_and_statistics(make_recipe, samples):
    recipe = make_recipe(phases=[{"epochs": 1, "frozen": ["body.blocks.0"]}])
    module = QualityModule(build_network(recipe.architecture), recipe, recipe.phases[0], 4).train()
    frozen = module.network.get_submodule("body.blocks.0")
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    batch = next(iter(loaders(recipe, samples)))
    optimiser = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
    module.log_dict = lambda *args, **options: None
    module.training_step(batch, 0).backward()
    optimiser.step()
    assert all(torch.equal(before[name], value) for name, value in frozen.state_dict().items())
    assert module.network.body.blocks[3].training
    assert not frozen.training
