"""Chest radiographs with and without foreign objects, and objects put into images that exist."""

from xiqa.simulation.chest.find import find_chest
from xiqa.simulation.chest.insert import insert_objects
from xiqa.simulation.chest.objects import OBJECTS
from xiqa.simulation.chest.scenario import Scenario, scenario_grid
from xiqa.simulation.chest.simulate import simulate_chest

__all__ = ["OBJECTS", "Scenario", "find_chest", "insert_objects", "scenario_grid", "simulate_chest"]
