"""Makes ``import torchvision`` work with a CPU-only torch; import this before torchvision or timm.

PyPI's torchvision wheel is a CUDA build. Beside a CPU-only torch its binary operators do not load, and
registering the Python part of ``nms`` then fails with "operator torchvision::nms does not exist".
Defining the missing schemas first cures it: nothing in xiqa calls these operators.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

__all__: list[str] = []

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _operators_load() -> bool:
    """Whether torchvision's compiled operators fit the installed torch."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    libraries = [*Path(spec.origin).parent.glob("_C*.so"), *Path(spec.origin).parent.glob("_C*.pyd")]
    try:
        for library in libraries:
            torch.ops.load_library(str(library))
    except (OSError, RuntimeError):
        return False
    return hasattr(torch.ops.torchvision, "nms")


# Kept alive as long as the process: the schemas go with the library object.
_library: torch.library.Library | None = None
if not _operators_load():
    _library = torch.library.Library("torchvision", "DEF")
    for _schema in _SCHEMAS:
        _library.define(_schema)
