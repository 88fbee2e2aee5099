"""Networks: backbones, bundles, calibration and the guard."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xiqa.models.bundle import LoadedModel, load_model, read_card, save_bundle, shipped_models

__all__ = ["LoadedModel", "load_model", "read_card", "save_bundle", "shipped_models"]


def __getattr__(name: str) -> Any:
    """Load torch only when a model is asked for."""
    if name in __all__:
        from xiqa.models import bundle

        return getattr(bundle, name)
    raise AttributeError(name)
