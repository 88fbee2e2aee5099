"""Networks: backbones, bundles, calibration and the guard."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xiqa.models.bundle import LoadedModel, load_model, save_bundle
    from xiqa.models.shelf import read_card, shipped_models

__all__ = ["LoadedModel", "load_model", "read_card", "save_bundle", "shipped_models"]

_TORCHLESS = ("read_card", "shipped_models")


def __getattr__(name: str) -> Any:
    """Load torch only when a model is asked for."""
    if name in __all__:
        return getattr(import_module(f"xiqa.models.{'shelf' if name in _TORCHLESS else 'bundle'}"), name)
    raise AttributeError(name)
