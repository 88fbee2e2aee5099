"""Images of two blobs, one of which decides, and generators that are fitted on them."""

import numpy as np
import torch
from torch import nn

from xiqa.models.explainers.generators import Generators
from xiqa.models.preprocess import Preprocessing
from xiqa.training.data import EpochLoader, ImageSet, TrainingImage
from xiqa.training.generators import (
    Classifier,
    GeneratorRecipe,
    fit_generators,
)

SIDE = 32
Y, X = np.mgrid[:SIDE, :SIDE]
LEFT, RIGHT = ((X - 8) ** 2 + (Y - 16) ** 2 < 16), ((X - 24) ** 2 + (Y - 16) ** 2 < 16)


class LeftBlob(nn.Module):
    """Poor where the left disc is bright; the right one says nothing."""

    def __init__(self):
        super().__init__()
        self.register_buffer("disc", torch.from_numpy(LEFT / LEFT.sum()).float())

    def forward(self, images):
        odds = 20 * ((images[:, 0] * self.disc).sum(dim=(1, 2)) - 0.5)
        return torch.stack([-odds / 2, odds / 2], dim=1)


def blobs(count, seed):
    """Noise, and each of two blobs on half of the images; uint8."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        image = rng.uniform(0.15, 0.25, (SIDE, SIDE))
        for centre in (8, 24):
            if rng.random() < 0.5:
                image += 0.6 * np.exp(-((X - centre) ** 2 + (Y - 16) ** 2) / 12.5)
        images.append((image.clip(0, 1) * 255).astype(np.uint8))
    return images


def make_recipe(**changes):
    entries = {
        "kind": "twogenerator",
        "name": "toy",
        "size": (SIDE, SIDE),
        "networks": {"width": 8, "depth": 2, "output": "residual"},
        "epochs": 6,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "jitter": 0,
        "noise": 0.0,
        "augmentation": {
            "rotate": 0, "scale": 0, "translate": 0, "contrast": 0, "brightness": 0, "noise": 0.01,
        },
        "loss": {"variation": 1.0},
    }  # fmt: skip
    return GeneratorRecipe.model_validate(entries | changes)


def loaders(recipe, train=160, val=48):
    radiographs = recipe.image_recipe(Preprocessing(size=(SIDE, SIDE)))
    sets = [
        ImageSet(
            [TrainingImage(grey, (), 0, True) for grey in blobs(count, seed)],
            radiographs,
            (SIDE, SIDE),
            training=not seed,
        )
        for seed, count in enumerate((train, val))
    ]
    return (
        EpochLoader(sets[0], recipe.batch_size, seed=recipe.seed),
        EpochLoader(sets[1], recipe.batch_size, shuffle=False),
    )


class Bright(nn.Module):
    """Poor where the image, of any size, is bright on average."""

    def forward(self, images):
        odds = 40 * (images.mean(dim=(1, 2, 3)) - 0.25)
        return torch.stack([-odds / 2, odds / 2], dim=1)


CLASSIFIER, BRIGHT = (Classifier(network, 1, 0.0, (0.0,), (1.0,)) for network in (LeftBlob(), Bright()))


def fitted(recipe, folder, classifier=CLASSIFIER, **options):
    torch.manual_seed(recipe.seed)
    networks = recipe.networks
    generators = Generators(networks.count, networks.width, networks.depth, networks.output)
    achieved = fit_generators(
        generators, classifier, recipe, loaders(recipe), folder, progress=False, **options
    )
    return generators, achieved
