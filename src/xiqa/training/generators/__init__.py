"""Training of the generators behind ``twogenerator``: images that keep a verdict, and images that turn it."""

from xiqa.training.generators.classifier import Classifier, classifier_of
from xiqa.training.generators.films import FilmParts
from xiqa.training.generators.fit import fit_generators
from xiqa.training.generators.loss import generator_loss, total_variation
from xiqa.training.generators.module import GeneratorModule
from xiqa.training.generators.pictures import write_pictures
from xiqa.training.generators.recipe import GeneratorLoss, GeneratorRecipe
from xiqa.training.generators.train import run, train_generators

__all__ = [
    "Classifier",
    "FilmParts",
    "GeneratorLoss",
    "GeneratorModule",
    "GeneratorRecipe",
    "classifier_of",
    "fit_generators",
    "generator_loss",
    "run",
    "total_variation",
    "train_generators",
    "write_pictures",
]
