"""Trainings that ended in a traceback, or went on where nothing could come of it."""

import re
import warnings

import numpy as np
import pytest
import torch

from xiqa.errors import ModelError, TrainingError
from xiqa.models.calibration import FEWEST, require_enough
from xiqa.models.explainers.softtree import SoftTree
from xiqa.training import train as train_module
from xiqa.training.data import EpochLoader, ImageSet, load_images
from xiqa.training.finish import warn_of_the_ends
from xiqa.training.fit import fit
from xiqa.training.loop import EpochBar
from xiqa.training.lungs import MaskedImage, train_lungs
from xiqa.training.recipe import Recipe
from xiqa.training.softtree.distil import Seen, SoftTreeRecipe, fit_tree
from xiqa.training.train import starting_network, train

from ..training.conftest import TEXT, make_samples


def tiny(**changes):
    entries = {
        "name": "squares",
        "batch_size": 4,
        "workers": 0,
        "pretrained": False,
        "augmentation": False,
        "architecture": {"backbone": "test_resnet"},
        "preprocessing": {"size": (32, 32)},  # test_resnet's last maps are single places then
        "phases": [{"epochs": 1, "learning_rate": 1e-2}],
        "card": TEXT,
    }
    return Recipe.model_validate(entries | changes)


def run(recipe, folder, train_images=17, val_images=8):
    parts = make_samples(train_images, "train"), make_samples(val_images, "val", first=100)
    torch.manual_seed(0)
    network = starting_network(recipe)
    fit(network, recipe, *(load_images(part, recipe.preprocessing) for part in parts), folder, progress=False)
    return network


@pytest.mark.parametrize(
    ("images", "size", "expected"),
    [(17, 4, [4, 4, 4, 5]), (18, 4, [4, 4, 4, 4, 2]), (3, 2, [3]), (1, 4, [1]), (3, 1, [1, 1, 1])],
)
def test_no_single_image_is_left_over_for_the_last_batch(images, size, expected):
    recipe = tiny()
    prepared = load_images(make_samples(images, "train"), recipe.preprocessing)
    loader = EpochLoader(ImageSet(prepared, recipe, (32, 32), training=True), size)
    batches = list(loader)
    assert [len(batch.labels) for batch in batches] == expected
    assert len(loader) == len(expected)
    assert sorted(torch.cat([batch.indices for batch in batches]).tolist()) == list(range(images))


def test_a_training_whose_last_batch_would_be_one_image_ends_well(tmp_path):
    network = run(tiny(), tmp_path)
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())


def test_batches_of_one_image_with_batch_norm_on_single_places_are_named(tmp_path):
    with pytest.raises(TrainingError, match=r"single value a channel.*raise batch_size"):
        run(tiny(batch_size=1), tmp_path)


@pytest.mark.parametrize("phase", [1, 2])
def test_a_loss_that_is_no_number_stops_the_training_and_names_the_step(phase, tmp_path):
    rates = [1e-3, 1e-3]
    rates[phase - 1] = 1e30
    phases = [{"epochs": 2, "learning_rate": rate} for rate in rates]
    recipe = tiny(phases=phases, optimiser={"name": "sgd", "schedule": "constant", "clip": 0.0})
    with pytest.raises(TrainingError, match=f"in step 2 of epoch 1, phase {phase} of 2: .*learning rate"):
        run(recipe, tmp_path)


def test_weights_that_break_in_the_last_step_are_noticed_by_the_validation(tmp_path):
    options = {"name": "sgd", "schedule": "constant", "clip": 0.0}
    recipe = tiny(phases=[{"epochs": 1, "learning_rate": 1e30}], optimiser=options, batch_size=16)
    with pytest.raises(TrainingError, match="in the validation of epoch 1"):
        run(recipe, tmp_path, train_images=16)


def test_a_goal_that_is_no_number_is_noticed_in_the_first_step(tmp_path):
    recipe = tiny(
        outputs={"task": "degree", "limit": 0.5},
        classes=("good", "blurred"),
        architecture={"backbone": "test_resnet", "classes": 1},
    )
    images = load_images(make_samples(8, "train"), recipe.preprocessing, goal=lambda sample: (float("nan"),))
    with pytest.raises(TrainingError, match="in step 1 of epoch 1"):
        fit(starting_network(recipe), recipe, images, images, tmp_path, progress=False)


def test_the_lung_networks_training_stops_too():
    rng = np.random.default_rng(0)
    images = [MaskedImage(*rng.integers(0, 255, (2, 160, 160)).astype(np.uint8)) for _ in range(2)]
    with pytest.raises(TrainingError, match="epoch 2 of the lung network"):
        train_lungs(images, epochs=3, learning_rate=1e30)


def test_the_soft_trees_training_stops_too(tmp_path):
    seen = Seen(inputs=torch.full((6, 3), torch.nan), poor=torch.linspace(0, 1, 6))
    recipe = SoftTreeRecipe(kind="softtree", name="tree", depth=2)
    with pytest.raises(TrainingError, match="epoch 1 of the soft tree"):
        fit_tree(SoftTree(2, 3, 2, 1.0), seen, recipe, tmp_path)


@pytest.mark.parametrize(("good", "poor"), [(2, 2), (FEWEST - 1, 40), (40, FEWEST - 1), (0, 9)])
def test_too_few_images_to_calibrate_on_are_refused_with_both_numbers(good, poor):
    with pytest.raises(
        ModelError, match=f"at least {FEWEST} good and {FEWEST} poor.*got {good} good and {poor} poor"
    ):
        require_enough([0] * good + [1] * poor)
    require_enough([0] * FEWEST + [1] * FEWEST)


def test_they_are_refused_before_anything_is_trained(tmp_path, monkeypatch):
    samples = make_samples(16, "train") + make_samples(4, "val", first=100)
    monkeypatch.setattr(train_module, "read_samples", lambda recipe, data: samples)
    monkeypatch.setattr(train_module, "fit", lambda *arguments, **options: pytest.fail("trained"))
    with pytest.raises(ModelError, match="got 2 good and 2 poor"):
        train(tiny(), tmp_path, tmp_path / "run", progress=False)


@pytest.mark.parametrize(("temperature", "words"), [(54.59, "hardly"), (0.0184, "all")])
def test_a_temperature_at_an_end_of_its_range_is_warned_of(temperature, words):
    with pytest.warns(UserWarning, match=words):
        warn_of_the_ends(temperature)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_the_ends(1.3)


@pytest.mark.parametrize(
    ("part", "epoch", "expected"),
    [("", 0, "Epoch 1 of 2"), ("", 1, "Epoch 2 of 2"), ("Phase 1 of 3", 1, "Phase 1 of 3, epoch 2 of 2")],
)
def test_epochs_are_counted_from_one_to_the_last(part, epoch, expected):
    bar = EpochBar(part)
    bar._trainer = type("Trainer", (), {"max_epochs": 2})()
    assert bar._get_train_description(epoch) == expected


def test_the_bar_is_what_the_terminal_shows(tmp_path, monkeypatch):
    shown = []
    add = EpochBar._add_task

    def watch(self, total, description, *rest, **options):
        shown.append(description)
        return add(self, total, description, *rest, **options)

    monkeypatch.setattr(EpochBar, "_add_task", watch)
    recipe = tiny(phases=[{"epochs": 2, "learning_rate": 1e-3}])
    samples = load_images(make_samples(8, "train"), recipe.preprocessing)
    fit(starting_network(recipe), recipe, samples, samples, tmp_path, progress=True)
    assert any(re.search("Epoch 1 of 2", text) for text in shown)
