"""Bundles: what is saved comes back, and what was changed, mixed up or made by others is refused."""

import json
import shutil

import numpy as np
import pytest
import torch

from xiqa.errors import BundleError
from xiqa.models.backbones import Architecture, build_network
from xiqa.models.bundle import load_model, save_bundle
from xiqa.models.card import BundleCard, Layers
from xiqa.models.guard import fit_guard, pooled
from xiqa.models.page import card_page
from xiqa.models.preprocess import Preprocessing
from xiqa.models.shelf import read_card, shipped_models
from xiqa.saliency.capture import ForwardPass, Watch
from xiqa.types import Image

LAYERS = ("body.blocks.2", "body.blocks.6")


def make_card(**changes):
    entries = {
        "name": "tiny",
        "created": "2026-01-01",
        "architecture": Architecture(head="evidence", width=8),
        "preprocessing": Preprocessing(size=(64, 64)),
        "classes": ("clean", "foreign"),
        "poor_class": 1,
        "temperature": 1.5,
        "threshold": 0.4,
        "review_band": (0.3, 0.5),
        "layers": Layers(last="fuse", multi=LAYERS),
        "method": "normgrad_conv1x1",
        "intended_use": "tests",
        "limits": "all",
        "not_for": "anything else",
        "training_data": "none",
        "licence": "Apache-2.0",
    }
    return BundleCard(**(entries | changes))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    network = build_network(make_card().architecture)
    images = torch.randn(6, 3, 64, 64)
    passed = ForwardPass(network.eval(), images, grad=False, watch=Watch(LAYERS, pooled))
    features = torch.cat([passed.features[name] for name in LAYERS], dim=1)
    guard = fit_guard(features, LAYERS, threshold=30.0, axes=3)
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    card = save_bundle(folder, network, make_card(), guard)
    return folder, network, guard, card, images, features


@pytest.fixture
def bundle(saved, tmp_path):
    return shutil.copytree(saved[0], tmp_path / "tiny")


def test_a_bundle_comes_back(saved):
    folder, network, guard, card, images, features = saved
    model = load_model(folder)
    assert model.card == card
    assert not model.network.training
    with torch.no_grad():
        torch.testing.assert_close(model.network(images), network(images), rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(
        model.guard.distances(features), guard.distances(features), rtol=1e-2, atol=1e-2
    )
    assert model.guard.threshold == 30.0


def test_half_precision_halves_the_file_and_full_precision_is_exact(saved, tmp_path):
    folder, network, guard, _, images, _ = saved
    save_bundle(tmp_path / "full", network, make_card(), guard, half=False)
    small, large = ((path / "model.safetensors").stat().st_size for path in (folder, tmp_path / "full"))
    assert small < 0.6 * large
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "full").network(images), network(images))


def test_probabilities_are_calibrated(saved):
    model = load_model(saved[0])
    logits = torch.tensor([[-0.75, 0.75]])
    assert model.probability(logits)[0] == pytest.approx(1 / (1 + np.exp(-1.0)))


def test_an_image_is_prepared_with_the_way_back(saved):
    model = load_model(saved[0])
    pixels = np.zeros((50, 100), dtype=np.float32)
    pixels[10, 90] = 1
    array, frame = model.prepare(Image(pixels))
    assert array.shape == (3, 64, 64)
    y, x = np.unravel_index(array[0].argmax(), (64, 64))
    np.testing.assert_allclose(frame.points_to_original([x, y]), [90, 10], atol=1.5)
    assert array[0, 0, 0] == pytest.approx(-1)  # black padding after normalisation


def test_one_changed_byte_in_the_weights_is_noticed(bundle):
    path = bundle / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="was changed"):
        load_model(bundle)


def test_a_changed_threshold_is_noticed(bundle):
    path = bundle / "model.json"
    path.write_text(path.read_text().replace('"threshold": 0.4', '"threshold": 0.41'))
    with pytest.raises(BundleError, match="was changed"):
        load_model(bundle)


def test_weights_of_another_network_are_refused_even_under_a_right_hash(bundle, saved):
    save_bundle(bundle, build_network(Architecture(head="evidence", width=16)), make_card())
    with pytest.raises(BundleError, match="does not fit together"):
        load_model(bundle)


def test_layers_that_the_network_does_not_have_are_refused(bundle, saved):
    save_bundle(bundle, saved[1], make_card(layers=Layers(last="nowhere", multi=())))
    with pytest.raises(BundleError, match="does not fit together"):
        load_model(bundle)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3},
        {"temperature": 0.0},
        {"threshold": 1.5},
        {"poor_class": 2},
        {"surprise": 1},
        {"classes": ["a", "b", "c"]},
        {"architecture": {"backbone": "resnet18", "run": "this"}},
    ],
)
def test_a_card_of_another_kind_is_refused(bundle, change):
    path = bundle / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match="not a card"):
        read_card(bundle)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_card_that_is_no_card_is_refused(bundle, content):
    (bundle / "model.json").write_bytes(content)
    with pytest.raises(BundleError):
        load_model(bundle)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_is_told(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_model(bundle)


def test_a_pickle_in_place_of_the_weights_runs_nothing(bundle, saved):
    torch.save({"network": 1}, bundle / "model.safetensors")
    with pytest.raises(BundleError):
        load_model(bundle)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    network = build_network(make_card().architecture)
    with torch.no_grad():
        network.evidence.weight[0, 0] = 1e6  # beyond float16
    with pytest.raises(BundleError, match=r"evidence\.weight"):
        save_bundle(tmp_path / "bad", network, make_card())


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(BundleError, match="no bundle 'nobody'"):
        load_model("nobody")


def test_the_page_tells_every_number_of_the_card(saved):
    page = card_page(saved[3])
    for told in ("tiny", "0.400", "1.500", "fuse", "anything else", saved[3].hash):
        assert told in page


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_load_and_are_small(name):
    model = load_model(name)
    assert model.guard is not None
    assert model.card.evaluations
    rows, columns = model.card.preprocessing.size
    with torch.no_grad():
        assert model.network(torch.zeros(1, 3, rows // 4, columns // 4)).shape == (1, len(model.card.classes))
