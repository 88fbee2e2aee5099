"""Training of the generators behind ``twogenerator``: images that keep a verdict, and images that turn it."""

from xiqa.training.generators.balance import Balance
from xiqa.training.generators.classifier import Classifier, classifier_of
from xiqa.training.generators.fit import fit_generators
from xiqa.training.generators.loss import edges_within, generator_loss, total_variation
from xiqa.training.generators.module import GeneratorModule
from xiqa.training.generators.parts import ErasingParts, ImageParts
from xiqa.training.generators.pictures import write_pictures
from xiqa.training.generators.recipe import Aim, GeneratorLoss, GeneratorRecipe
from xiqa.training.generators.shapes import covering, erasing_loss, lay_shapes
from xiqa.training.generators.train import run, train_generators
from xiqa.training.generators.unsteady import gaussian_blur, unsteady

__all__ = [
    "Aim",
    "Balance",
    "Classifier",
    "ErasingParts",
    "GeneratorLoss",
    "GeneratorModule",
    "GeneratorRecipe",
    "ImageParts",
    "classifier_of",
    "covering",
    "edges_within",
    "erasing_loss",
    "fit_generators",
    "gaussian_blur",
    "generator_loss",
    "lay_shapes",
    "run",
    "total_variation",
    "train_generators",
    "unsteady",
    "write_pictures",
]
