"""What is trained first keeps the contracts on a network that was: twogenerator, softtree and lficam.

A batch is its images; the network is left as it was; every way to name a class; odd inputs.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from tests.contracts.test_untouched import Fails, same, state
from tests.reference import softtree as reference
from torch import nn

from xiqa.errors import BundleError, SaliencyError
from xiqa.models.card import Estimate
from xiqa.models.explainers.generator_bundle import Achieved, GeneratorCard, Networks, save_generators
from xiqa.models.explainers.generators import Generators, network_hash
from xiqa.models.explainers.softtree import (
    Fidelity,
    SoftTree,
    TreeCard,
    TreeInput,
    load_tree,
    save_tree,
    tree_input,
)
from xiqa.models.heads.attention import AttentionNet
from xiqa.saliency.engine import attribute
from xiqa.saliency.peaks import find
from xiqa.training.generators import Classifier, GeneratorLoss, generator_loss

SIDE = 24


class Stages(nn.Module):
    """Two convolutions with batch norm, as timm gives features."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))

    def forward(self, images):
        return [self.second(self.first(images))]


def radiographs(count, channels, generator):
    """Normalised images, and whether their left half holds a bright square."""
    grey = 0.2 + 0.05 * torch.rand(count, 1, SIDE, SIDE, generator=generator)
    labels = torch.randint(0, 2, (count,), generator=generator)
    for one, label in zip(grey, labels.tolist(), strict=True):
        if label:
            y = int(torch.randint(2, 18, (1,), generator=generator))
            one[:, y : y + 5, 4:9] = 0.9
    return ((grey - 0.5) / 0.5).expand(-1, channels, -1, -1), labels


def train(network, channels, classes, generator):
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(30):
        images, labels = radiographs(16, channels, generator)
        logits = network.train()(images)
        if classes == 1:
            loss = F.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
        else:
            loss = F.cross_entropy(logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def train_generators(network, channels, generator):
    classifier = Classifier(network, 1, 0.0, (0.5,) * channels, (0.5,) * channels)
    generators = Generators(2, 4, 2)
    optimiser = torch.optim.Adam(generators.parameters(), lr=0.02)
    for _ in range(25):
        grey = radiographs(8, 1, generator)[0] * 0.5 + 0.5
        drawn = generators(grey)
        with torch.no_grad():
            verdict = torch.where(classifier.margin(grey) >= 0, 1.0, -1.0)
        margins = classifier.margin(drawn.similar), classifier.margin(drawn.adversarial)
        loss = generator_loss(grey, drawn, margins, verdict, GeneratorLoss())["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return generators


LOOKS = {
    "softtree, max": TreeInput(layer="body.second", pooling="max"),
    "softtree, mean": TreeInput(layer="body.second", pooling="mean"),
    "softtree, pixels": TreeInput(kind="pixels", size=(6, 5)),
}


def grow(folder, network, look, targets, depth, generator):
    """A random tree whose inputs have the images' mean and deviation."""
    images, _ = radiographs(16, network.body.first[0].in_channels, generator)
    inputs, _ = tree_input(network, images, look)
    tree = SoftTree(depth, inputs.shape[1])
    with torch.no_grad():
        tree.split.weight.normal_(generator=generator)
        tree.split.bias.normal_(generator=generator)
        tree.leaf.normal_(generator=generator)
        tree.mean.copy_(inputs.mean(dim=0))
        tree.deviation.copy_(inputs.std(dim=0) + 0.01)
    none = Estimate(value=0)
    card = TreeCard(
        name="toy tree",
        classifier="toy",
        classifier_sha256=network_hash(network),
        classes=("good", "poor"),
        targets=targets,
        depth=depth,
        sharpness=1.0,
        look=look,
        inputs=inputs.shape[1],
        threshold=0.5,
        fidelity=Fidelity(images=0, agreement=none, majority=1, balanced=None, distance=none),
        reached=(1 / 2**depth,) * 2**depth,
    )
    save_tree(folder, tree, card)


@pytest.fixture(scope="session")
def trees(trained, tmp_path_factory):
    """The method of a tree that stands for a trained network."""
    made = {}

    def make(look="softtree, max", channels=3, classes=2, depth=3, targets=(0, 1)):
        key = look, channels, classes, depth, targets
        if key not in made:
            made[key] = tmp_path_factory.mktemp("tree")
            network = copy.deepcopy(trained(channels, classes)[0]).float()
            generator = torch.Generator().manual_seed(3)
            grow(made[key], network, LOOKS[look], targets, depth, generator)
        return f"softtree:bundle='{made[key]}'"

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A trained network by channels and classes, and the methods that were trained for it."""
    made = {}

    def make(channels=3, classes=2):
        if (channels, classes) not in made:
            torch.manual_seed(2)
            generator = torch.Generator().manual_seed(1)
            network = train(AttentionNet(Stages(channels), (8,), classes), channels, classes, generator)
            folder = tmp_path_factory.mktemp("generators")
            card = GeneratorCard(
                name="toy",
                created="2026-01-01",
                classifier="toy",
                classifier_sha256=network_hash(network),
                explained=1,
                mean=(0.5,) * channels,
                std=(0.5,) * channels,
                input_size=(SIDE, SIDE),
                size=(SIDE, SIDE),
                networks=Networks(width=4, depth=2),
                achieved=Achieved(images=0),
            )
            save_generators(folder, train_generators(network, channels, generator), card)
            made[channels, classes] = network.double(), f"twogenerator:bundle='{folder}'"
        return made[channels, classes]

    return make


@pytest.fixture(params=["twogenerator", "twogenerator, one", "lficam", *LOOKS])
def explain(request, trained, trees):
    """Raw maps of a method for a network that it was trained for."""

    def run(network, images, classes=2, **options):
        method = trained(images.shape[1], classes)[1]
        if request.param in LOOKS:
            method = trees(request.param, images.shape[1], classes)
        method = {"twogenerator, one": f"{method},form=one", "lficam": "lficam"}.get(request.param, method)
        (maps,) = attribute(network, images, method, **options).values()
        return maps

    run.name = request.param
    return run


@pytest.fixture
def network(trained):
    return trained()[0]


@pytest.fixture
def batch():
    return radiographs(3, 3, torch.Generator().manual_seed(8))[0].double()


def test_a_batch_is_its_images_and_again_is_the_same(network, batch, explain):
    together = explain(network, batch)
    alone = torch.cat([explain(network, image[None]) for image in batch])
    assert torch.allclose(alone, together, rtol=1e-9, atol=1e-12)
    assert torch.equal(explain(network, batch), together)
    assert (together.amax(dim=(1, 2)) > together.amin(dim=(1, 2))).all()


def test_nothing_is_left_behind(trained, batch, explain):
    messy = copy.deepcopy(trained()[0]).train()
    messy.body.first[1].eval()
    messy.body.first[0].weight.requires_grad_(False)
    messy.head.weight.grad = torch.ones_like(messy.head.weight)
    messy.body.register_forward_hook(lambda module, args, output: None)
    before = state(messy)
    explain(messy, batch, target=1)
    same(before, state(messy))
    messy.head = Fails()
    before = state(messy)
    with pytest.raises(RuntimeError, match="on purpose"):
        explain(messy, batch, target=1)
    same(before, state(messy))


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_who_calls_and_how_the_network_is_found_do_not_matter(around, trained, batch, explain):
    network = trained()[0]
    expected = explain(network, batch, target=1)
    frozen = copy.deepcopy(network).requires_grad_(False).train()
    with around():
        maps = explain(frozen, batch + 0, target=1)
    assert torch.equal(maps, expected)
    assert not maps.requires_grad


@pytest.mark.parametrize("classes", [1, 2])
def test_all_ways_to_name_a_class(classes, trained, batch, explain):
    network = trained(classes=classes)[0]
    zero, one = (explain(network, batch, classes, target=c) for c in (0, 1))
    with torch.no_grad():
        logits = network(batch)
        predicted = (logits[:, 0] > 0).long() if classes == 1 else logits.argmax(dim=1)
    if explain.name in LOOKS:
        assert torch.allclose(zero, -one, rtol=1e-9, atol=1e-12)  # what speaks for one, against the other
    else:
        assert torch.equal(zero, one)  # the verdict for one is the verdict against the other
    for target in (torch.tensor([0, 1, 0]), "predicted"):
        chosen = predicted if isinstance(target, str) else target
        expected = torch.where(chosen[:, None, None] == 1, one, zero)
        assert torch.equal(explain(network, batch, classes, target=target), expected)
    with pytest.raises(SaliencyError, match="no such class"):
        explain(network, batch, classes, target=2)


def test_of_more_classes_generators_know_one(trained, batch):
    network, method = trained(classes=4)
    (maps,) = attribute(network, batch, method, target=1).values()
    assert maps.isfinite().all()
    with pytest.raises(SaliencyError, match=r"another class.*class 1, got 3"):
        attribute(network, batch, method, target=3)
    assert attribute(network, batch, "lficam", target=3)["lficam"].isfinite().all()


@pytest.mark.parametrize("value", [0.0, 0.3, -5.0, 7.0])
def test_constant_images(value, network, explain):
    maps = explain(network, torch.full((2, 3, SIDE, SIDE), value, dtype=torch.float64))
    assert maps.isfinite().all()
    assert torch.equal(maps[0], maps[1])


def test_nan_points_nowhere_and_spoils_no_neighbour(network, batch, explain):
    broken = batch.clone()
    broken[1] = torch.nan
    expected, maps = explain(network, batch), explain(network, broken)
    assert find(maps[1].float().numpy()) == ()
    assert torch.allclose(maps[::2], expected[::2], rtol=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(24, 40), (33, 16), (2, 2), (1, 1)])
def test_channels_and_sides(channels, size, trained, explain):
    network = trained(channels)[0]
    images = torch.randn(2, channels, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    maps = explain(network, images)
    assert maps.isfinite().all()
    assert (maps >= 0).all() or explain.name in LOOKS
    if explain.name == "softtree, pixels":
        assert maps.shape[1:] == (6, 5)
    elif "twogenerator" in explain.name:
        assert maps.shape[1:] == size
    elif maps.shape[1:] == (1, 1):
        assert find(maps[0].float().numpy()) == ()


def test_the_generators_show_the_square(network, trained):
    """Trained for half a second each: the square, a thirtieth of the image, has most of the energy."""
    images, labels = radiographs(16, 3, torch.Generator().manual_seed(5))
    (maps,) = attribute(network, images.double(), trained()[1], target=1).values()
    with torch.no_grad():
        assert (network(images.double()).argmax(dim=1) == labels).all()
    energy = maps[labels == 1] ** 2
    bright = images[labels == 1, 0] > 0
    assert float(energy[bright].sum() / energy.sum()) > 0.6


def test_what_was_not_trained_for_the_network_is_refused(trained, batch):
    network, method = trained()
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.head.bias[0] += 1
    with pytest.raises(BundleError, match="another classifier"):
        attribute(other, batch, method)
    with pytest.raises(SaliencyError, match=r"twogenerator:bundle=FOLDER.*xiqa train"):
        attribute(network, batch, "twogenerator")
    with pytest.raises(BundleError, match="cannot read"):
        attribute(network, batch, "twogenerator:bundle=nowhere")
    with pytest.raises(SaliencyError, match="two or one"):
        attribute(network, batch, f"{method},form=three")


@pytest.mark.parametrize("look", LOOKS)
def test_a_tree_of_depth_one_in_closed_form(look, trained, trees, batch):
    """The map sums to (Q_right - Q_left) w (x - mean): the root is always reached."""
    network, method = trained()[0], trees(look, depth=1)
    loaded = load_tree(method.partition("'")[2][:-1]).to(torch.float64, batch.device)
    tree, (inputs, _) = loaded.tree, tree_input(network, batch, LOOKS[look])
    for target in (0, 1):
        (maps,) = attribute(network, batch, method, target=target).values()
        left, right = tree.leaf.softmax(dim=1)[:, target]
        expected = (right - left) * ((inputs - tree.mean) @ tree.filters()[0])
        assert torch.allclose(maps.sum(dim=(1, 2)), expected, rtol=1e-9)


@pytest.mark.parametrize("look", LOOKS)
def test_a_tree_of_depth_three_as_the_loops_do(look, trained, trees, batch):
    network, method = trained()[0], trees(look)
    loaded = load_tree(method.partition("'")[2][:-1]).to(torch.float64, batch.device)
    tree, (inputs, source) = loaded.tree, tree_input(network, batch, LOOKS[look])
    distributions = tree.leaf.softmax(dim=1).tolist()
    (maps,) = attribute(network, batch, method, target=torch.tensor([0, 1, 1])).values()
    for place, target in enumerate((0, 1, 1)):
        standard = ((inputs[place] - tree.mean) / tree.deviation).tolist()
        right, reached, _ = reference.turns(
            standard, tree.split.weight.tolist(), tree.split.bias.tolist(), tree.sharpness, 3
        )
        expected = 0
        for node in range(7):
            stake = reference.stake(node, right, reached, distributions, target)
            added = reference.places(
                LOOKS[look].kind,
                LOOKS[look].pooling,
                tree.filters()[node].tolist(),
                tree.mean.tolist(),
                source[place].tolist(),
            )
            expected = expected + stake * torch.tensor(added, dtype=torch.float64)
        assert torch.allclose(maps[place], expected, rtol=1e-9, atol=1e-12)


def test_trees_whose_poor_class_is_another(trained, trees, batch):
    network, turned = trained()[0], trees(targets=(1, 0))
    (poor,) = attribute(network, batch, turned, target=0).values()
    (same_class,) = attribute(network, batch, trees(), target=1).values()
    assert torch.equal(poor, same_class)


def test_of_more_classes_a_tree_knows_one(trained, trees, batch):
    network, _ = trained(classes=4)
    method = trees(classes=4, targets=(None, 2))
    (maps,) = attribute(network, batch, method, target=2).values()
    assert maps.isfinite().all()
    with pytest.raises(SaliencyError, match=r"no other class.*class 2, got 0, 3"):
        attribute(network, batch, method, target=torch.tensor([0, 2, 3]))
    with pytest.raises(SaliencyError, match=r"one problem, which has a class"):
        attribute(network, batch, trees(classes=4, targets=(None, None)), target=2)


def test_a_tree_that_stands_for_another_network_is_refused(trained, trees, batch):
    network = copy.deepcopy(trained()[0])
    method = trees()
    with torch.no_grad():
        network.head.bias[0] += 1
    with pytest.raises(BundleError, match=r"another classifier.*train a tree for this one"):
        attribute(network, batch, method)
    with pytest.raises(SaliencyError, match=r"softtree:bundle=FOLDER.*xiqa train softtree"):
        attribute(network, batch, "softtree")
    with pytest.raises(BundleError, match=r"cannot read.*xiqa train softtree"):
        attribute(network, batch, "softtree:bundle=nowhere")
