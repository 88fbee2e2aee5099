"""Where bundles lie, and their cards, without anything that runs a network."""

from __future__ import annotations

import os
from pathlib import Path

from xiqa.errors import BundleError
from xiqa.models.card import BundleCard
from xiqa.models.sealed import open_card, seal

__all__ = [
    "CARD",
    "GRAPH",
    "SHIPPED",
    "WEIGHTS",
    "bundle_folder",
    "read_card",
    "shipped_models",
    "write_card",
]

CARD, WEIGHTS = "model.json", "model.safetensors"
#: The same model as an exported graph, where the bundle has one.
GRAPH = "model.onnx"
SHIPPED = Path(__file__).parent / "bundles"


def shipped_models() -> list[str]:
    """Names of the bundles that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CARD}"))


def read_card(name_or_path: str | os.PathLike[str]) -> BundleCard:
    """Read and check a bundle's card without its weights.

    Raises:
        BundleError: It is absent, unreadable, changed, or of another version.
    """
    return open_card(BundleCard, bundle_folder(name_or_path) / CARD)


def write_card(folder: Path, card: BundleCard) -> BundleCard:
    """Write a card to its bundle, for the weights that ``card.weights_sha256`` names.

    Returns:
        The card with its own hash.
    """
    return seal(folder / CARD, card)


def bundle_folder(name_or_path: str | os.PathLike[str]) -> Path:
    """The folder of a shipped bundle's name, or of a path.

    Raises:
        BundleError: There is no such bundle.
    """
    path = Path(name_or_path)
    if path.is_dir():
        return path
    if str(name_or_path) in shipped_models():
        return SHIPPED / str(name_or_path)
    raise BundleError(
        f"no bundle {str(name_or_path)!r}",
        expected=f"a folder, or one of {', '.join(shipped_models()) or 'none shipped'}",
    )
