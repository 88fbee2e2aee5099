"""Explainable image quality assessment for medical images.

>>> import xiqa
>>> xiqa.__version__.count(".")
2
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Looked up on first use, so that `import xiqa` stays quick and needs no torch.
_LAZY: dict[str, str] = {
    "assess": "xiqa.assessment",
    "compare": "xiqa.experiments.compare",
    "explain": "xiqa.assessment",
    "load_model": "xiqa.models",
    "read_image": "xiqa.imaging",
}
_ROOMS = ("dicom",)

__all__ = ["__version__", *_LAZY, *_ROOMS]  # noqa: PLE0604 - all are strings


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(_imported(_LAZY[name]), name)
    if name in _ROOMS:
        return import_module(f"xiqa.{name}")
    raise AttributeError(f"module 'xiqa' has no attribute {name!r}")


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "pandas"):
            raise
        from xiqa.errors import MissingDependencyError

        raise MissingDependencyError(
            f"{module} needs {error.name}", todo='pip install "xiqa[torch]"'
        ) from None


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY, *_ROOMS])
