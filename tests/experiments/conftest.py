"""A tiny random bundle, and recipes on small simulated images: the machinery is tried, not the network."""

import pytest
import torch

from xiqa.experiments.recipe import Experiment
from xiqa.models.architecture import Architecture
from xiqa.models.backbones import build_network
from xiqa.models.bundle import save_bundle
from xiqa.models.card import BundleCard, Layers
from xiqa.models.preprocess import Preprocessing


def make_bundle(folder, classes):
    """A small random network of these classes."""
    card = BundleCard(
        name="tiny",
        created="2025-01-01",
        architecture=Architecture(backbone="resnet10t", classes=len(classes)),
        preprocessing=Preprocessing(size=(64, 64)),
        classes=classes,
        poor_class=1,
        temperature=1.0,
        threshold=0.5,
        review_band=(0.5, 0.5),
        layers=Layers(last="layer4", multi=("layer2", "layer3", "layer4")),
        method="gradcam",
        **dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "test"),
    )
    torch.manual_seed(0)
    save_bundle(folder, build_network(card.architecture), card)
    return folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """Folder of a small random network of two classes."""
    return make_bundle(tmp_path_factory.mktemp("bundle"), ("clean", "foreign"))


@pytest.fixture
def recipe(bundle):
    """Makes an experiment of a few small simulated images; what is given replaces the defaults."""

    def make(**given):
        defaults = {
            "name": "small",
            "title": "A small one",
            "chunk": 2,
            "resamples": 200,
            "data": {"source": "random", "count": 5, "size": (64, 64)},
            "models": [{"name": "tiny", "bundles": [str(bundle)], "states": ["trained", "full"]}],
            "methods": ["gradcam", "normgrad_conv1x1:layers=multi"],
            "measures": [{"metric": "pointing_game", "objects": "removable", "params": {"tolerance": 9.0}}],
            "tables": [
                {"name": "pointing", "title": "PG", "reference": {"method": "gradcam", "state": "trained"}}
            ],
        }
        return Experiment.model_validate(defaults | given)

    return make
