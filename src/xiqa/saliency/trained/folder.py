"""What methods share that read a folder which was trained for the network: it is named, and read once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

import torch

from xiqa.errors import SaliencyError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["open_bundle"]


class _Loaded(Protocol):
    def to(self, dtype: torch.dtype, device: torch.device) -> Self: ...


_Kind = TypeVar("_Kind", bound=_Loaded)


def open_bundle(
    load: Callable[[Path], _Kind], bundle: str | None, images: Tensor, *, method: str, what: str
) -> _Kind:
    """A bundle in the images' type and on their device; it is read again only when it was written anew.

    Args:
        load: Reads a folder.
        bundle: The folder, as the method's parameter names it.
        images: The images.
        method: Name of the method, for the message; so is that of its recipe.
        what: What it needs, for the message.

    Raises:
        SaliencyError: No folder is named.
        BundleError: It cannot be read.
    """
    if bundle is None:
        raise SaliencyError(
            f"{method} needs {what} for this classifier",
            expected=f"{method}:bundle=FOLDER",
            todo=f"train: xiqa train {method} --model MODEL --data FOLDER",
        )
    folder = Path(str(bundle)).expanduser().resolve()
    stamp = max((card.stat().st_mtime_ns for card in folder.glob("*.json")), default=0)
    return cast("_Kind", _read(load, folder, stamp, images.dtype, images.device))


@lru_cache(maxsize=8)
def _read(
    load: Callable[[Path], Any], folder: Path, stamp: int, dtype: torch.dtype, device: torch.device
) -> Any:
    return load(folder).to(dtype, device)
