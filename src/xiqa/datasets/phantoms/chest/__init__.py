"""Chest radiographs with and without foreign objects, and objects put into films that exist."""

from xiqa.datasets.phantoms.chest.find import find_chest
from xiqa.datasets.phantoms.chest.insert import insert_objects
from xiqa.datasets.phantoms.chest.objects import OBJECTS
from xiqa.datasets.phantoms.chest.scenario import Scenario, scenario_grid
from xiqa.datasets.phantoms.chest.simulate import simulate_chest

__all__ = ["OBJECTS", "Scenario", "find_chest", "insert_objects", "scenario_grid", "simulate_chest"]
