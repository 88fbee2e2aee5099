"""Small images in memory: dark noise, and on the poor ones a bright square."""

from pathlib import Path

import numpy as np
import pytest

from xiqa.datasets import Sample
from xiqa.geometry import Box
from xiqa.training.recipe import Recipe
from xiqa.types import Annotation, Image

TEXT = {
    "intended_use": "tests",
    "limits": "all",
    "not_for": "anything else",
    "training_data": "squares",
    "licence": "Apache-2.0",
}


def radiograph(seed: int, poor: bool, side: int = 64):
    """An image and the box of its bright square."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0.2, 0.4, (side, side)).astype(np.float32)
    x, y = rng.integers(8, side - 16, 2)
    if poor:
        pixels[y : y + 8, x : x + 8] = 1
    box = Box(float(x), float(y), float(x + 7), float(y + 7))
    return Image(pixels), (Annotation(box, kind="button", groups=("removable", "compact")),) if poor else ()


def make_samples(count: int, split: str, first: int = 0) -> list[Sample]:
    samples = []
    for seed in range(first, first + count):
        image, annotations = radiograph(seed, poor=seed % 2 == 1)
        samples.append(
            Sample(
                key=str(seed),
                path=Path(),
                label=seed % 2,
                split=split,
                patient=str(seed),
                annotations=annotations,
                source=lambda image=image: image,
            )
        )
    return samples


@pytest.fixture
def make_recipe():
    def make(**changes):
        entries = {
            "name": "squares",
            "batch_size": 4,
            "architecture": {"backbone": "tf_efficientnet_lite0", "head": "evidence", "width": 8},
            "preprocessing": {"size": (64, 64)},
            "augmentation": {"rotate": 5, "flip": 0.5},
            "phases": [{"epochs": 1, "size": (64, 64), "learning_rate": 3e-3}],
            "guard_layers": ["body.blocks.2"],
            "card": TEXT,
        }
        return Recipe.model_validate(entries | changes)

    return make


@pytest.fixture
def tiny(make_recipe):
    """A recipe with a network of a few thousand weights."""

    def make(**changes):
        entries = {
            "architecture": {"backbone": "test_resnet", "classes": 2},
            "pretrained": False,
            "augmentation": False,
            "guard_layers": [],
            "phases": [{"epochs": 2, "learning_rate": 1e-2}],
        }
        return make_recipe(**(entries | changes))

    return make
