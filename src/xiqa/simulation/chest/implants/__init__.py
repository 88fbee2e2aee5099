"""What stays in a patient: visible, but no reason to repeat an image."""

from xiqa.simulation.chest.implants.devices import DEVICES
from xiqa.simulation.chest.implants.lines import IMPLANTS

__all__ = ["DEVICES", "IMPLANTS"]
