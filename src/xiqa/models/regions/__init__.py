"""Regions of interest that a model is shown: the lung fields."""
