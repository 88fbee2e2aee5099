"""A tiny random bundle and a folder of small images: the commands are tried, not the network."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from xiqa.models.architecture import Architecture
from xiqa.models.backbones import build_network
from xiqa.models.bundle import save_bundle
from xiqa.models.card import BundleCard, Layers
from xiqa.models.preprocess import Preprocessing


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """Folder of a random network that calls everything poor."""
    card = BundleCard(
        name="tiny",
        created="2025-01-01",
        architecture=Architecture(backbone="test_resnet"),
        preprocessing=Preprocessing(size=(64, 64)),
        classes=("clean", "foreign"),
        poor_class=1,
        temperature=1.0,
        threshold=0.0,
        review_band=(0.0, 0.0),
        layers=Layers(last="layer4", multi=("layer2", "layer3", "layer4")),
        method="gradcam",
        **dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "test"),
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bundle")
    save_bundle(folder, build_network(card.architecture), card)
    return folder


@pytest.fixture
def images(tmp_path):
    """Three small images, one of them not square."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in {"a.png": (80, 80), "b.png": (90, 60), "c.png": (64, 64)}.items():
        Pillow.fromarray(rng.integers(0, 255, size, dtype=np.uint8)).save(folder / name)
    return folder
