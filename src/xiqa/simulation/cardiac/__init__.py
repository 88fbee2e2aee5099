"""Cardiac MR: 4-chamber cine slices with and without the left ventricular outflow tract."""

from xiqa.simulation.cardiac.simulate import simulate_cardiac

__all__ = ["simulate_cardiac"]
