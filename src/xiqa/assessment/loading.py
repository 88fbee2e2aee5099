"""From a name, a folder or a file to a model that runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, cast

from xiqa.assessment.runtime import Engine, Runtime
from xiqa.codec import Travels
from xiqa.errors import ConfigError

__all__ = ["RuntimeSpec", "as_runtime", "load_runtime"]


def as_runtime(model: Any) -> Runtime:
    """The model as a runtime: a runtime stays what it is, a loaded bundle runs on PyTorch."""
    if isinstance(model, Runtime):
        return model
    from xiqa.assessment.runtimes.torch import TorchRuntime  # noqa: PLC0415 - other runtimes need no torch

    return cast("Runtime", TorchRuntime(model))


def load_runtime(
    name_or_path: str | os.PathLike[str],
    engine: Engine = "onnxruntime",
    *,
    device: str = "cpu",
    threads: int = 0,
) -> Runtime:
    """A model ready to run: an exported ``.onnx`` file without torch, anything else as a bundle on PyTorch.

    Args:
        name_or_path: Name of a shipped bundle, a bundle's folder, or a file that `xiqa export` wrote.
        engine: What runs an exported file.
        device: Where a bundle runs: ``cpu``, ``cuda``, ``cuda:1``, ... or ``auto``. Exported files run on the
            processor.
        threads: Processor threads inside one operation; 0 leaves it to the engine. For PyTorch it holds for
            the whole process.

    Raises:
        BundleError: There is no such model, or it is broken.
        MissingDependencyError: The engine is not installed.
        ConfigError: There is no such device.
    """
    if os.fspath(name_or_path).endswith(".onnx"):
        from xiqa.assessment.runtimes.onnx import OnnxRuntime  # noqa: PLC0415 - an extra

        if device not in ("cpu", "auto"):
            raise ConfigError("an exported model runs on the processor", expected="cpu or auto", got=device)
        return cast("Runtime", OnnxRuntime(name_or_path, engine, threads))
    from xiqa.models import load_model  # noqa: PLC0415 - other runtimes need no torch

    if threads:
        import torch  # noqa: PLC0415 - as above

        torch.set_num_threads(threads)
    return as_runtime(load_model(name_or_path, device=device))


@dataclass(frozen=True, slots=True)
class RuntimeSpec(Travels):
    """A model to be loaded elsewhere: in another process, on another machine.

    Attributes:
        model: See `load_runtime`.
        engine: See `load_runtime`.
        device: See `load_runtime`.
        threads: See `load_runtime`.
    """

    model: str
    engine: str = "onnxruntime"
    device: str = "cpu"
    threads: int = 0

    def load(self) -> Runtime:
        """The model, ready to run here."""
        engine = cast("Engine", self.engine)
        return load_runtime(self.model, engine, device=self.device, threads=self.threads)
