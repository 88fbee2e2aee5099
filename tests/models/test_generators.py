"""Generators: one start, any size, no neighbour's influence; their bundle refuses what was changed."""

import copy
import json

import pytest
import torch
from torch import nn

from xiqa.errors import BundleError
from xiqa.models.explainers.generator_bundle import (
    Achieved,
    GeneratorCard,
    Networks,
    load_generators,
    save_generators,
)
from xiqa.models.explainers.generators import Generators, UNet, bounded, network_hash


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def stirred(module, seed=0):
    """Weights unlike the start's, the last layer's zeros included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return module


def make_card(network, **changes):
    entries = {
        "name": "toy",
        "created": "2026-01-01",
        "classifier": "toy classifier",
        "classifier_sha256": network_hash(network),
        "explained": 1,
        "mean": (0.5,),
        "std": (0.25,),
        "input_size": (32, 32),
        "size": (32, 32),
        "networks": Networks(width=4, depth=2),
        "achieved": Achieved(images=0),
    }
    return GeneratorCard(**(entries | changes))


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    generators = stirred(Generators(2, 4, 2))
    card = save_generators(tmp_path / "toy", generators, make_card(network))
    return tmp_path / "toy", generators, network, card


def test_a_residual_generator_starts_as_the_identity():
    images = draw(2, 1, 13, 22)
    assert torch.equal(UNet(4, 2, "residual")(images), images)


def test_a_pair_has_one_start():
    generators = Generators(2, 4, 2, "direct")
    similar, adversarial = generators(draw(1, 1, 16, 16))
    assert torch.equal(similar, adversarial)
    assert generators.similar.head.weight is not generators.adversarial.head.weight
    assert Generators(1, 4, 2)(draw(1, 1, 16, 16)).similar is None


@pytest.mark.parametrize("output", ["painted", "residual", "direct"])
@pytest.mark.parametrize("size", [(16, 16), (5, 9), (1, 1), (33, 24)])
def test_any_size_stays_in_the_grey_range(output, size):
    images = draw(2, 1, *size)
    drawn = stirred(UNet(4, 2, output))(images)
    assert drawn.shape == images.shape
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert not torch.allclose(drawn, images)


def test_an_image_does_not_depend_on_its_neighbours():
    network, images = stirred(UNet(4, 2)).double(), draw(3, 1, 17, 12).double()
    together = network(images)
    alone = torch.cat([network(image[None]) for image in images])
    assert torch.allclose(together, alone, rtol=1e-12, atol=1e-12)


def test_a_part_is_painted_as_it_is_in_the_whole():
    network, whole = stirred(UNet(4, 1)).double(), draw(1, 1, 240, 200).double()
    part = whole[..., 40:200, 40:160]
    inner = slice(70, -70), slice(50, -50)  # what the border reaches is left out
    painted = network(part)[0, 0][inner]
    assert torch.allclose(painted, network(whole)[0, 0, 40:200, 40:160][inner], rtol=1e-9, atol=1e-12)
    assert not torch.allclose(painted, part[0, 0][inner], atol=1e-3)


def test_a_painted_image_is_the_image_where_the_gate_is_shut_and_the_paint_where_it_is_open():
    network, images = stirred(UNet(4, 2)), draw(2, 1, 20, 18)
    image, gate, paint = network.draw(images)
    assert torch.allclose(image, (1 - gate) * images + gate * paint, atol=1e-6)
    with torch.no_grad():
        for bias, expected in ((-40.0, images), (40.0, None)):
            network.head.weight[1], network.head.bias[1] = 0.0, bias
            image, _, paint = network.draw(images)
            assert torch.allclose(image, paint if expected is None else expected, atol=1e-6)


def test_the_paint_starts_near_the_local_mean_and_the_image_near_the_image():
    images = draw(1, 1, 64, 64)
    start = UNet(8, 2)
    with torch.no_grad():
        start.head.weight.zero_()
    image, gate, paint = start.draw(images)
    assert float(gate.max()) < 0.05
    assert float((image - images).abs().mean()) < 0.02
    assert abs(float(paint[0, 0, 32, 32]) - float(images[0, 0, 17:48, 17:48].mean())) < 0.02


def test_what_left_the_range_can_come_back():
    values = torch.tensor([-0.4, 0.5, 1.3], requires_grad=True)
    bounded(values).sum().backward()
    assert bounded(values).tolist() == [0.0, 0.5, 1.0]
    assert values.grad.tolist() == [1.0, 1.0, 1.0]


def test_the_hash_sees_every_number_and_buffer():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    first = network_hash(network)
    assert network_hash(copy.deepcopy(network).double().train()) == first
    other = copy.deepcopy(network)
    other[1].running_mean[1] += 1e-6
    assert network_hash(other) != first


def test_what_is_saved_comes_back(saved):
    folder, generators, network, card = saved
    loaded = load_generators(folder)
    assert loaded.card == card
    images = draw(1, 1, 32, 32)
    assert all(torch.equal(a, b) for a, b in zip(loaded.generators(images), generators(images), strict=True))
    assert not any(weight.requires_grad for weight in loaded.generators.parameters())
    loaded.require(network)
    assert sorted(path.name for path in folder.iterdir()) == ["generators.json", "generators.safetensors"]


def test_another_classifier_is_refused(saved):
    folder, _, network, _ = saved
    other = copy.deepcopy(network)
    other.bias.data[0] += 1
    with pytest.raises(BundleError, match=r"another classifier.*toy classifier.*train generators for this"):
        load_generators(folder).require(other)


def test_changed_files_are_refused(saved):
    folder = saved[0]
    content = (folder / "generators.safetensors").read_bytes()
    (folder / "generators.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=r"generators\.safetensors was changed"):
        load_generators(folder)
    entries = json.loads((folder / "generators.json").read_text())
    (folder / "generators.json").write_text(json.dumps(entries | {"explained": 0}))
    with pytest.raises(BundleError, match=r"generators\.json was changed"):
        load_generators(folder)
    (folder / "generators.json").write_text(json.dumps(entries | {"format": 1}))
    with pytest.raises(BundleError, match="format"):
        load_generators(folder)


def test_an_absent_bundle_is_told(tmp_path):
    with pytest.raises(BundleError, match=r"cannot read .*generators\.json.*RUN/bundle"):
        load_generators(tmp_path)


def test_weights_of_another_build_are_refused(tmp_path):
    card = make_card(nn.Linear(3, 2), networks=Networks(width=8, depth=2))
    save_generators(tmp_path / "mixed", Generators(2, 4, 2), card)
    with pytest.raises(BundleError, match="does not fit together"):
        load_generators(tmp_path / "mixed")


def test_what_is_not_finite_is_not_saved(tmp_path):
    generators = Generators(1, 4, 1)
    generators.adversarial.head.bias.data[0] = torch.nan
    with pytest.raises(BundleError, match="not finite"):
        save_generators(tmp_path / "nan", generators, make_card(nn.Linear(1, 1)))
