"""A model that several processes train is the one that a single process would have trained, and one bundle.

What went wrong: each process calibrated on its part of the images and wrote the same folder, the last one
won; the batch grew with the processes; validation images counted twice; losses were means of unequal parts.
"""

import json
import os
import socket
import subprocess
import sys
from itertools import chain

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from xiqa.cli import main
from xiqa.errors import ConfigError
from xiqa.models.backbones import build_network
from xiqa.models.shelf import read_card
from xiqa.training import data, processes
from xiqa.training.data import EpochLoader, ImageSet, load_images
from xiqa.training.finish import score_images, training_of
from xiqa.training.losses import dense_loss, image_loss, region_loss
from xiqa.training.processes import Machines

from ..training.conftest import make_samples
from .test_training_stops import tiny


@pytest.fixture(scope="module")
def images():
    return load_images(make_samples(23, "train"), tiny().preprocessing)


def loader(images, count, size, **options):
    part = ImageSet(images, tiny(), (32, 32), training=True)
    return EpochLoader(part, size, processes=count, **options)


def parts(monkeypatch, images, count, size, **options):
    """The indices that each process sees, batch by batch."""
    seen = []
    for rank in range(count):
        monkeypatch.setattr(data, "rank", lambda rank=rank: rank)
        seen.append([batch.indices.tolist() for batch in loader(images, count, size, **options)])
    return seen


@pytest.mark.parametrize(("count", "size"), [(2, 8), (3, 8), (2, 3), (4, 5)])
def test_processes_share_every_batch_of_one(monkeypatch, images, count, size):
    whole = [batch.indices.tolist() for batch in loader(images, 1, size)]
    shared = parts(monkeypatch, images, count, size)
    assert len({len(batches) for batches in shared}) == 1
    together = [sorted(chain(*batches)) for batches in zip(*shared, strict=True)]
    assert sorted(chain(*together)) == list(range(23))
    for found, expected in zip(together[:-1], whole, strict=False):
        assert found == sorted(expected)
    assert all(len(batch) >= min(2, size // count) for batches in shared for batch in batches)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_each_validation_image_is_seen_by_one_process_once(monkeypatch, images, count):
    shared = parts(monkeypatch, images, count, 4, shuffle=False)
    assert sorted(index for batches in shared for batch in batches for index in batch) == list(range(23))


def test_more_processes_than_images_in_a_batch_are_refused(images):
    with pytest.raises(ConfigError, match="at most 4, got 5"):
        loader(images, 5, 4)
    with pytest.raises(ConfigError, match="at most 3, got 4"):
        loader(images[:3], 4, 16)


def test_scoring_sees_all_images_also_within_a_group(monkeypatch, images):
    monkeypatch.setattr(data, "rank", lambda: 1)
    torch.manual_seed(0)
    network = build_network(tiny().architecture)
    scored = score_images(network, tiny(), images)
    assert scored.labels.tolist() == [image.label for image in images]


def draws(generator, *shape):
    return torch.rand(*shape, generator=generator)


def losses(mean, logits, evidence, rows):
    """Every loss, on some rows of a batch."""
    generator = torch.Generator().manual_seed(8)
    labels, goals = torch.arange(7) % 3, draws(generator, 7, 2)
    target, weight = (draws(generator, 7, 4, 5) > 0.7).float(), draws(generator, 7, 4, 5)
    regions = torch.tensor([[[0, 0, 2, 3], [0, 0, 0, 0]], [[1, 1, 4, 2], [2, 0, 3, 4]]] * 4)[:7]
    weights, degrees = torch.tensor([0.2, 1.0, 3.0]), (2 * goals).round()
    return [
        image_loss("classes", logits[rows, :3], labels[rows], goals[rows], None, mean),
        image_loss("classes", logits[rows, :3], labels[rows], goals[rows], weights, mean),
        image_loss("labels", logits[rows, :2], labels[rows], goals[rows], None, mean),
        image_loss("degree", logits[rows, :2], labels[rows], goals[rows], None, mean),
        image_loss("ordered", logits[rows], labels[rows], degrees[rows], None, mean),
        dense_loss(evidence[rows], target[rows], weight[rows], 2.0, mean),
        region_loss(evidence[rows], regions[rows], mean),
    ]


@pytest.mark.parametrize("split", [[[0, 1, 2, 3], [4, 5, 6]], [[0], [1, 2], [3, 4, 5, 6]]])
def test_the_mean_of_the_processes_losses_and_gradients_is_that_of_the_whole_batch(monkeypatch, split):
    generator = torch.Generator().manual_seed(1)
    logits = (4 * draws(generator, 7, 4) - 2).requires_grad_()
    evidence = (4 * draws(generator, 7, 4, 5) - 3).requires_grad_()
    counts = [[] for _ in range(7)]
    for rows in split:
        seen = []
        losses(lambda part, count, least=0.0, seen=seen: seen.append(count) or part, logits, evidence, rows)
        for place, count in enumerate(seen):
            counts[place].append(count)
    whole = losses(processes.alone, logits, evidence, list(range(7)))
    order = iter([sum(values) for values in counts] * len(split))
    monkeypatch.setattr(processes, "total", lambda count: next(order))
    monkeypatch.setattr(processes, "_count", lambda: len(split))
    shared = [losses(processes.share, logits, evidence, rows) for rows in split]
    for number, expected in enumerate(whole):
        found = sum(part[number] for part in shared) / len(split)
        torch.testing.assert_close(found, expected)
        wanted = torch.autograd.grad(expected, (logits, evidence), retain_graph=True, allow_unused=True)
        got = torch.autograd.grad(found, (logits, evidence), retain_graph=True, allow_unused=True)
        for one, other in zip(got, wanted, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other)
        mean_of_means = sum(losses(processes.alone, logits, evidence, rows)[number] for rows in split)
        assert not torch.isclose(mean_of_means / len(split), expected)  # parts are unequal


def test_several_nodes_need_to_know_which_they_are(monkeypatch):
    for name in ("NODE_RANK", "GROUP_RANK", "SLURM_NODEID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="NODE_RANK"):
        Machines(1, 2).check()
    monkeypatch.setenv("NODE_RANK", "1")
    Machines(1, 2).check()
    assert not processes.in_first()


@pytest.mark.parametrize(
    ("frozen", "count", "expected"),
    [
        ((), 1, "batch"),
        ((), 2, "part"),
        (("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"), 2, "frozen"),
    ],
)
def test_the_card_tells_whose_statistics_batch_norm_learned(frozen, count, expected):
    recipe = tiny(phases=[{"epochs": 1, "frozen": frozen}])
    training = training_of(build_network(recipe.architecture), recipe, Machines(count))
    assert (training.processes, training.batch_size, training.batch_norm) == (count, 4, expected)
    assert training_of(torch.nn.Linear(2, 2), recipe, Machines(count)).batch_norm == "none"


@pytest.mark.parametrize("kind", ["softtree", "twogenerator"])
def test_recipes_of_other_kinds_refuse_several_devices(kind, tmp_path, monkeypatch, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'kind = "{kind}"\n')
    words = ["xiqa", "train", str(recipe), "--devices", "2", "--model", "any"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "one device" in capsys.readouterr().err


RECIPE = """
name = "two"
classes = ["without_lvot", "with_lvot"]
pretrained = false
batch_size = 16
workers = 0
data = {{ layout = "simulated_cardiac", images = 76 }}
architecture = {{ backbone = "test_resnet" }}
preprocessing = {{ size = [48, 48] }}
augmentation = false
optimiser = {{ name = "sgd", schedule = "constant" }}
phases = [{phases}]
[card]
intended_use = ""
limits = ""
not_for = ""
training_data = ""
licence = ""
"""


def environment(**changes):
    inherited = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "NODE_RANK")}
    return {**inherited, "OMP_NUM_THREADS": "1", **changes}


def command(folder, phases, name, *options):
    recipe = folder / "two.toml"
    recipe.write_text(RECIPE.format(phases=phases))
    return [sys.executable, "-m", "xiqa", "train", str(recipe), "--out", str(folder / name), *options]


def train(folder, phases, name, *options):
    done = subprocess.run(
        command(folder, phases, name, *options),
        capture_output=True,
        text=True,
        timeout=500,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def frozen_phases():
    norms = [
        f'"{name}"'
        for name, module in build_network(tiny().architecture).named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    ]
    return f"{{ epochs = 5, learning_rate = 1e-2, frozen = [{', '.join(norms)}] }}"


def history(folder):
    return json.loads((folder / "phase-1" / "history.json").read_text())


@pytest.mark.long
def test_twenty_steps_of_two_processes_are_those_of_one(tmp_path):
    phases = frozen_phases()  # 58 images: four batches an epoch, the last one of 10
    train(tmp_path, phases, "one")
    train(tmp_path, phases, "two", "--devices", "2")
    one, two = (history(tmp_path / name) for name in ("one", "two"))
    assert len(one) == len(two) == 5
    losses = np.array([[row["loss"] for row in rows] for rows in (one, two)])
    assert abs(losses[0, -1] - losses[0, 0]) > 1e-4  # it learned something
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    cards = [read_card(tmp_path / name / "bundle") for name in ("one", "two")]
    assert [card.training.batch_norm for card in cards] == ["frozen", "frozen"]
    assert [card.training.processes for card in cards] == [1, 2]
    assert cards[0].evaluations[0].images == cards[1].evaluations[0].images == 18
    assert cards[0].threshold == pytest.approx(cards[1].threshold, abs=1e-4)


@pytest.mark.long
def test_two_processes_write_one_bundle_and_the_same_twice(tmp_path):
    phases = "{ epochs = 2, learning_rate = 1e-2 }, { epochs = 1, learning_rate = 1e-3 }"
    told = [train(tmp_path, phases, name, "--devices", "2") for name in ("first", "again")]
    cards = [read_card(tmp_path / name / "bundle") for name in ("first", "again")]
    assert cards[0].card_sha256 == cards[1].card_sha256
    assert cards[0].training.batch_norm == "part"
    assert all(text.count("The bundle is in") == 1 for text in told)
    weights = [load_file(tmp_path / name / "bundle" / "model.safetensors") for name in ("first", "again")]
    assert all(weights[0][key].equal(weights[1][key]) for key in weights[0])
    report = json.loads((tmp_path / "first" / "report" / "classifier.json").read_text())
    assert sum(map(sum, report["confusion"])) == 18  # each validation image once


@pytest.mark.long
def test_two_nodes_are_two_processes(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    phases = "{ epochs = 2, learning_rate = 1e-2 }"
    line = command(tmp_path, phases, "nodes", "--nodes", "2")
    nodes = [
        subprocess.Popen(
            line,
            env=environment(NODE_RANK=str(number), MASTER_ADDR="127.0.0.1", MASTER_PORT=port),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    told = [node.communicate(timeout=400)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], told
    assert ["The bundle is in" in text for text in told] == [True, False]
    train(tmp_path, phases, "devices", "--devices", "2")
    hashes = {read_card(tmp_path / name / "bundle").card_sha256 for name in ("nodes", "devices")}
    assert len(hashes) == 1
