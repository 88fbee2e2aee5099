"""A classifier told over by a soft tree: looks, recipe, command."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.reference import softtree as reference
from tests.training.softtrees import RECIPES, recipe
from xiqa.datasets import Sample
from xiqa.errors import BundleError, DatasetError, ModelError
from xiqa.models.architecture import Architecture
from xiqa.models.bundle import LoadedModel
from xiqa.models.card import BundleCard, Layers
from xiqa.models.explainers.softtree import SoftTree, TreeInput, load_tree, place_weights, tree_input
from xiqa.models.outputs import Outputs
from xiqa.models.preprocess import Preprocessing
from xiqa.training.softtree.distil import SoftTreeRecipe, distil, tree_targets
from xiqa.types import Image


class Small(nn.Module):
    """Poor where a bright square is: two logits from the brightest place of a blurred image."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 5, stride=4, bias=False)
        self.layer.weight.data = torch.stack([torch.ones(1, 5, 5), -torch.ones(1, 5, 5)]) / 25

    def forward(self, images):
        z = 8 * (self.layer(images)[:, :1].amax(dim=(2, 3)) - 0.2)
        return torch.cat([-z, z], dim=1)


@pytest.fixture(scope="module")
def model():
    texts = dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "test")
    card = BundleCard(
        name="small",
        created="2025-01-01",
        architecture=Architecture(backbone="resnet18"),
        preprocessing=Preprocessing(size=(32, 32), mean=(0.5,), std=(0.5,)),
        classes=("clean", "foreign"),
        poor_class=1,
        temperature=1.0,
        threshold=0.5,
        review_band=(0.5, 0.5),
        layers=Layers(last="layer", multi=("layer",)),
        method="gradcam",
        **texts,
    )
    return LoadedModel(Small().eval(), card)


def radiograph(seed):
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0.2, 0.4, (32, 32)).astype(np.float32)
    if seed % 2:
        x, y = rng.integers(0, 22, 2)
        pixels[y : y + 9, x : x + 9] = 1
    return Image(pixels)


def samples(count):
    return [
        Sample(
            key=str(seed),
            path=Path(),
            label=0,
            split="val" if seed % 5 > 2 else "train",
            patient=str(seed),
            source=lambda seed=seed: radiograph(seed),
        )
        for seed in range(count)
    ]


LOOKS = [
    TreeInput(kind="pixels", size=(8, 8)),
    TreeInput(kind="features", pooling="max"),
    TreeInput(kind="features", pooling="mean"),
]


@pytest.mark.parametrize("look", LOOKS, ids=["pixels", "max", "mean"])
def test_the_places_sum_to_the_turns_argument(model, look):
    images = torch.from_numpy(np.stack([model.prepare(radiograph(seed))[0] for seed in (1, 2)]))
    look = look.model_copy(update={"layer": "layer"})
    inputs, source = tree_input(model.network, images, look)
    tree = SoftTree(2, inputs.shape[1], sharpness=1.0)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        tree.split.weight.normal_(generator=generator)
        tree.get_buffer("mean").uniform_(generator=generator)
        tree.get_buffer("deviation").uniform_(0.5, 2, generator=generator)
    argument = tree.turns(inputs).right.logit() - tree.split.bias
    for node in range(3):
        filters = tree.filters()[node]
        told = place_weights(tree, filters.expand(2, -1), source, look)
        torch.testing.assert_close(told.sum(dim=(1, 2)), argument[:, node], rtol=1e-3, atol=1e-4)
        for place in range(2):
            expected = reference.places(
                look.kind, look.pooling, filters.tolist(), tree.mean.tolist(), source[place].tolist()
            )
            np.testing.assert_allclose(told[place], expected, rtol=1e-4, atol=1e-5)


def test_a_maximum_that_places_share_is_shared():
    tree = SoftTree(1, 2)
    maps = torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0, 3.0], [3.0, 0.0]])
    told = place_weights(tree, torch.tensor([[1.0, 2.0]]), torch.stack(maps)[None] + 4, TreeInput())
    assert told[0].tolist() == [[1, 8], [8, 1]]


class Taken(nn.Module):
    """Not called, or called for something else than feature maps."""

    def __init__(self):
        super().__init__()
        self.unused, self.pair = nn.Identity(), nn.Identity()

    def forward(self, images):
        self.pair((images, images))
        return images.mean(dim=(2, 3))


def test_a_layer_that_is_none(model):
    with pytest.raises(ModelError, match="no such layer"):
        tree_input(model.network, torch.zeros(1, 1, 32, 32), TreeInput(layer="attic"))
    for layer in ("unused", "pair", ""):
        with pytest.raises(ModelError, match="a layer of feature maps"):
            tree_input(Taken(), torch.zeros(1, 1, 32, 32), TreeInput(layer=layer))


def test_distilling_a_classifier(model, tmp_path):
    plan = recipe(depth=2, epochs=60, learning_rate=0.05, look=LOOKS[1])
    card = distil(plan, model, samples(60), tmp_path, progress=False)
    assert card.fidelity.images == 24
    assert card.fidelity.agreement.value == card.fidelity.balanced.value == 1.0
    assert card.targets == (0, 1)
    assert card.look.layer == "layer"
    assert card.fidelity.majority < 0.7
    assert sum(card.reached) == pytest.approx(1)
    assert (tmp_path / "tree.png").stat().st_size > 5000
    loaded = load_tree(tmp_path / "tree")
    assert loaded.card == card
    again = distil(plan, model, samples(60), tmp_path, resume=True, progress=False)
    assert again.weights_sha256 == card.weights_sha256
    (tmp_path / "tree" / "softtree.safetensors").write_bytes(b"other")
    with pytest.raises(BundleError, match="was changed"):
        load_tree(tmp_path / "tree")


def test_what_the_classifier_said_is_not_asked_again(model, tmp_path):
    plan = recipe(depth=1, epochs=20, look=LOOKS[0])
    distil(plan, model, samples(15), tmp_path, progress=False)
    unread = [Sample(s.key, s.path, s.label, s.split, s.patient) for s in samples(15)]  # no image behind
    assert distil(plan, model, unread, tmp_path, resume=True, progress=False).fidelity.images == 6


def test_too_few_images(model, tmp_path):
    with pytest.raises(DatasetError, match="too few"):
        distil(recipe(), model, samples(2), tmp_path, progress=False)


def test_no_tree(tmp_path):
    with pytest.raises(BundleError, match="xiqa train softtree"):
        load_tree(tmp_path)


@pytest.mark.parametrize("quick", [False, True])
def test_the_shipped_recipe_is_one(quick):
    plan = SoftTreeRecipe.read(RECIPES / "softtree.toml", quick=quick)
    assert plan.kind == "softtree"
    assert (plan.simulated > 0) == quick


def test_the_command_draws_a_way(model, tmp_path, monkeypatch, capsys):
    from PIL import Image as Pillow

    import xiqa.models
    from xiqa.cli.tree import command

    distil(
        recipe(depth=2, epochs=40, learning_rate=0.05, look=LOOKS[1]),
        model,
        samples(30),
        tmp_path,
        progress=False,
    )
    Pillow.fromarray((radiograph(1).pixels * 255).astype(np.uint8)).save(tmp_path / "image.png")
    monkeypatch.setattr(xiqa.models, "load_model", lambda name: model)
    command(tmp_path / "tree", image=tmp_path / "image.png", model="small", out=tmp_path / "out")
    told = capsys.readouterr().out
    assert "node 0: " in told
    assert "the classifier says foreign" in told
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"tree.png", "way.png"}
    other = LoadedModel(Small().eval(), model.card)
    with torch.no_grad():
        other.network.layer.weight += 0.1
    monkeypatch.setattr(xiqa.models, "load_model", lambda name: other)
    with pytest.raises(BundleError, match="another classifier"):
        command(tmp_path / "tree", image=tmp_path / "image.png", model="small", out=tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "targets"),
    [
        ({}, (0, 1)),
        ({"poor_class": 0}, (1, 0)),
        ({"count": 1}, (0, 1)),
        ({"count": 1, "poor_class": 0}, (1, 0)),
        ({"count": 3, "classes": ("clean", "dark", "foreign"), "poor_class": 2}, (None, 2)),
        (
            {
                "count": 3,
                "classes": ("clean", "dark", "foreign"),
                "outputs": Outputs(poor_classes=(1, 2)),
            },
            (None, None),
        ),
        ({"outputs": Outputs(task="labels", poor_classes=(1,))}, (None, 1)),
        ({"count": 1, "outputs": Outputs(task="degree")}, (0, 1)),
    ],
)
def test_which_classes_the_answers_are(model, changes, targets):
    changes = {"count": 2, **changes}
    architecture = Architecture(backbone="resnet18", classes=changes.pop("count"))
    entries = model.card.model_dump() | {"architecture": architecture} | changes
    assert tree_targets(BundleCard.model_validate(entries)) == targets
