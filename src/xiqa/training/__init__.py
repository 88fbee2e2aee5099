"""Recipes and the Lightning module that turn images into a bundle."""

import xiqa._torchvision  # noqa: F401 - before Lightning and torchmetrics, which import torchvision
