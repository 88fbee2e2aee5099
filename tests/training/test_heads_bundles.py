"""Heads of degrees: from images to a bundle, stopped and started again, with features kept."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.killing import whole_and_resumed
from xiqa.datasets import Sample
from xiqa.errors import DatasetError
from xiqa.models.bundle import load_model
from xiqa.models.heads.pooled import PooledMLP
from xiqa.training.data import load_images
from xiqa.training.fit import fit, read_history
from xiqa.training.train import report_bundle, starting_network, train

from .conftest import make_samples
from .test_heads import DEGREE, SEVERAL


def problem_samples(recipe, count, split, first=0):
    """Dark and noisy images: blur stands for how dark, noise for how noisy."""
    made = []
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        kind, degree = seed % 3, 0.0 if seed % 3 == 0 else float(rng.uniform(0.1, 1))
        pixels = np.full((64, 64), 0.6, dtype=np.float32) * (1 - degree * (kind == 1))
        pixels += (0.4 * degree * (kind == 2) * rng.standard_normal((64, 64))).astype(np.float32)
        from xiqa.types import Image

        image = Image(np.clip(pixels, 0, 1).astype(np.float32))
        tags = () if kind == 0 else (f"{('', 'blur', 'noise')[kind]}={degree}",)
        one = Sample(str(seed), Path(), 0, split, patient=str(seed), tags=tags, source=lambda i=image: i)
        made.append(one)
    return made


@pytest.mark.long
@pytest.mark.parametrize("changes", [SEVERAL, DEGREE], ids=["ordered", "degree"])
def test_a_head_of_degrees_learns_and_its_bundle_names_the_problem(tiny, tmp_path, monkeypatch, changes):
    import xiqa
    from xiqa.training import train as train_module

    recipe = tiny(**changes, phases=[{"epochs": 30, "learning_rate": 2e-2}], batch_size=8)
    samples = problem_samples(recipe, 48, "train") + problem_samples(recipe, 24, "val", first=100)
    monkeypatch.setattr(train_module, "read_samples", lambda recipe, data: samples)
    card = train(recipe, tmp_path, tmp_path / "run", progress=False)
    model = load_model(tmp_path / "run" / "bundle")
    assert model.card == card
    assert card.evaluations[0].auc.value > 0.9
    report = json.loads((tmp_path / "run" / "report" / "classifier.json").read_text())
    assert [row["name"] for row in report["classes"]] == ["blur", "noise"]
    assert [row["name"] for row in report["degrees"]] == ["blur", "noise"]
    assert len(report["history"]) == 30
    again = report_bundle(model, tmp_path, "val", progress=False)
    assert again.split == "validation"
    assert [row.recall for row in again.classes] == [row["recall"] for row in report["classes"]]
    with pytest.raises(DatasetError, match="no test images"):
        report_bundle(model, tmp_path, progress=False)
    worst = [s for s in samples if any(float(tag.partition("=")[2]) > 0.9 for tag in s.tags)][:6]
    results = xiqa.assess(model, [s.read() for s in worst], method="gradcam")
    named = [result.provenance["problem"] for result in results]
    assert named == [s.tags[0].partition("=")[0] for s in worst]
    assert all(name in result.reason for name, result in zip(named, results, strict=True))


@pytest.mark.parametrize(
    "optimiser",
    [
        {"name": "sgd", "schedule": "step", "every": 1, "weight_decay": 1e-4},
        {"name": "adam", "schedule": "constant"},
        {"name": "adamw", "schedule": "one_cycle"},
    ],
    ids=lambda options: options["name"],
)
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.long)])
def test_a_kill_inside_an_epoch_changes_nothing(tiny, tmp_path, monkeypatch, optimiser, workers):
    recipe = tiny(
        optimiser=optimiser,
        workers=workers,
        data={"balance": "sampler"},
        augmentation={"rotate": 5, "flip": 0.5, "flip_vertical": 0.5, "shear": 3},
        phases=[{"epochs": 3, "learning_rate": 1e-2}],
    )
    train_images, val_images = (
        load_images(make_samples(count, split), recipe.preprocessing)
        for count, split in ((16, "train"), (8, "val"))
    )
    monkeypatch.setattr("xiqa.training.fit.STEPS_BETWEEN_CHECKPOINTS", 3)

    def run(folder, *, resume=False):
        torch.manual_seed(0)
        network = starting_network(recipe)
        fit(network, recipe, train_images, val_images, folder, resume=resume, progress=False)
        return network.state_dict(), read_history(folder, 1)

    # in the second epoch; the last checkpoint is from step 6
    (whole, told), (resumed, history) = whole_and_resumed(run, tmp_path, monkeypatch, step=7)
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name
    assert history == told
    assert [row["epoch"] for row in told] == [1, 2, 3]
    assert sum(row["kept"] for row in told) == 1


def test_features_of_a_frozen_body_are_computed_once(tiny, tmp_path, monkeypatch):
    mlp = {"backbone": "test_resnet", "head": "mlp", "input_size": (64, 64), "pool": 2}
    recipe = tiny(architecture=mlp, phases=[{"epochs": 3, "frozen": ["body"], "learning_rate": 1e-2}])
    radiographs = load_images(make_samples(8, "train"), recipe.preprocessing)
    calls = []
    forward = PooledMLP.features

    def counted(self, images):
        calls.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(PooledMLP, "features", counted)
    weights = {}
    for way in ("kept", "anew"):
        torch.manual_seed(0)
        network = starting_network(recipe)
        if way == "anew":
            monkeypatch.setattr(
                "xiqa.training.fit._features", lambda network, recipe, radiographs: radiographs
            )
        fit(network, recipe, radiographs, radiographs, tmp_path / way, progress=False)
        weights[way] = network.state_dict()
        if way == "kept":
            assert sum(calls) == 16  # training and validation images, each once
    for name, value in weights["kept"].items():
        torch.testing.assert_close(weights["anew"][name], value, msg=name)
