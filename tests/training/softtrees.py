"""Small soft trees, inputs and recipes that the tests of trees share."""

from pathlib import Path

import torch

from xiqa.models.explainers.softtree import SoftTree
from xiqa.training.softtree.distil import SoftTreeRecipe

RECIPES = Path(__file__).resolve().parents[2] / "src" / "xiqa" / "recipes"


def random_tree(depth=3, inputs=4, classes=3, sharpness=1.5):
    tree = SoftTree(depth, inputs, classes, sharpness).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in tree.parameters():
            weight.normal_(generator=generator)
    return tree


def draw(count, inputs=4, seed=2):
    return torch.randn(count, inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def recipe(**changes):
    return SoftTreeRecipe(kind="softtree", name="tree", **changes)
