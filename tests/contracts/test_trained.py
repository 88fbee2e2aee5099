"""What is trained first keeps the contracts on a network that was: twogenerator and lficam.

A batch is its images; the network is left as it was; every way to name a class; odd inputs.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from tests.contracts.test_untouched import Fails, same, state
from torch import nn

from xiqa.errors import BundleError, SaliencyError
from xiqa.models.attention import AttentionNet
from xiqa.models.generator_bundle import Achieved, GeneratorCard, Networks, save_generators
from xiqa.models.generators import Generators, network_hash
from xiqa.saliency.engine import attribute
from xiqa.saliency.maps import find
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


def films(count, channels, generator):
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
        images, labels = films(16, channels, generator)
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
        grey = films(8, 1, generator)[0] * 0.5 + 0.5
        drawn = generators(grey)
        with torch.no_grad():
            verdict = torch.where(classifier.margin(grey) >= 0, 1.0, -1.0)
        margins = classifier.margin(drawn.similar), classifier.margin(drawn.adversarial)
        loss = generator_loss(grey, drawn, margins, verdict, GeneratorLoss())["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return generators


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
                achieved=Achieved(films=0),
            )
            save_generators(folder, train_generators(network, channels, generator), card)
            made[channels, classes] = network.double(), f"twogenerator:bundle='{folder}'"
        return made[channels, classes]

    return make


@pytest.fixture(params=["twogenerator", "twogenerator, one", "lficam"])
def explain(request, trained):
    """Raw maps of a method for a network that it was trained for."""

    def run(network, images, classes=2, **options):
        method = trained(images.shape[1], classes)[1]
        method = {
            "twogenerator": method,
            "twogenerator, one": f"{method},form=one",
            "lficam": "lficam",
        }[request.param]
        (maps,) = attribute(network, images, method, **options).values()
        return maps

    run.name = request.param
    return run


@pytest.fixture
def network(trained):
    return trained()[0]


@pytest.fixture
def batch():
    return films(3, 3, torch.Generator().manual_seed(8))[0].double()


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
    assert torch.equal(zero, one)  # the verdict for one is the verdict against the other
    for target in (torch.tensor([0, 1, 0]), "predicted"):
        assert torch.equal(explain(network, batch, classes, target=target), one)
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
    assert (maps >= 0).all()
    if explain.name != "lficam":
        assert maps.shape[1:] == size
    elif maps.shape[1:] == (1, 1):
        assert find(maps[0].float().numpy()) == ()


def test_the_generators_show_the_square(network, trained):
    """Trained for half a second each: the square, a thirtieth of the film, has most of the energy."""
    images, labels = films(16, 3, torch.Generator().manual_seed(5))
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
