"""From a name, a folder or a file to a model that runs."""

from __future__ import annotations

import os
from typing import Any, cast

from xiqa.assessment.runtime import Engine, Runtime

__all__ = ["as_runtime", "load_runtime"]


def as_runtime(model: Any) -> Runtime:
    """The model as a runtime: a runtime stays what it is, a loaded bundle runs on PyTorch."""
    if isinstance(model, Runtime):
        return model
    from xiqa.assessment.runtimes.torch import TorchRuntime  # noqa: PLC0415 - other runtimes need no torch

    return cast("Runtime", TorchRuntime(model))


def load_runtime(name_or_path: str | os.PathLike[str], engine: Engine = "onnxruntime") -> Runtime:
    """A model ready to run: an exported ``.onnx`` file without torch, anything else as a bundle on PyTorch.

    Args:
        name_or_path: Name of a shipped bundle, a bundle's folder, or a file that `xiqa export` wrote.
        engine: What runs an exported file.

    Raises:
        BundleError: There is no such model, or it is broken.
        MissingDependencyError: The engine is not installed.
    """
    if os.fspath(name_or_path).endswith(".onnx"):
        from xiqa.assessment.runtimes.onnx import OnnxRuntime  # noqa: PLC0415 - an extra

        return cast("Runtime", OnnxRuntime(name_or_path, engine))
    from xiqa.models import load_model  # noqa: PLC0415 - other runtimes need no torch

    return as_runtime(load_model(name_or_path))
