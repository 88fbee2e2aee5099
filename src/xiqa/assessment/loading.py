"""From a name, a folder or a file to a model that runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast, get_args

from xiqa.assessment.runtime import Engine, Runtime
from xiqa.codec import Travels
from xiqa.errors import BundleError, ConfigError, MissingDependencyError
from xiqa.models.shelf import GRAPH, bundle_folder, read_card
from xiqa.saliency.method import Method

__all__ = ["RuntimeSpec", "as_runtime", "load_runtime"]


def as_runtime(model: Any, method: Method | str | None = None) -> Runtime:
    """The model as a runtime: a runtime stays what it is, a loaded bundle runs on PyTorch, a name is loaded.

    Args:
        model: A runtime, a loaded bundle, or what `load_runtime` takes.
        method: What it will be asked for.
    """
    if isinstance(model, Runtime):
        return model
    if isinstance(model, (str, os.PathLike)):
        return load_runtime(model, methods=() if method is None else (method,))
    from xiqa.assessment.runtimes.torch import TorchRuntime  # noqa: PLC0415 - other runtimes need no torch

    return cast("Runtime", TorchRuntime(model))


def load_runtime(
    name_or_path: str | os.PathLike[str],
    engine: Engine = "auto",
    *,
    device: str = "cpu",
    threads: int = 0,
    methods: tuple[Method | str, ...] = (),
    gradients: bool = False,
) -> Runtime:
    """A model ready to run.

    ``auto`` takes the graph of an ``.onnx`` file or of a bundle that has one, without loading torch, and
    PyTorch where what is asked for needs it: another device than the processor, another method than the
    graph's own, gradients, or a bundle without a graph of its present card.

    Args:
        name_or_path: Name of a shipped bundle, a bundle's folder, or a file that `xiqa export` wrote.
        engine: What runs it: ``torch``, ``onnxruntime``, ``openvino`` or ``auto``.
        device: Where a bundle runs: ``cpu``, ``cuda``, ``cuda:1``, ... or ``auto``. Graphs run on the
            processor.
        threads: Processor threads inside one operation; 0 leaves it to the engine. For PyTorch it holds for
            the whole process.
        methods: The saliency methods that it will be asked for; none: its own.
        gradients: Whether it will be asked for gradients (fragility), or for another class than the poor one.

    Raises:
        BundleError: There is no such model, or it is broken, or has no graph for the engine.
        MissingDependencyError: The engine is not installed.
        ConfigError: There is no such device or engine, or the engine cannot run this.
    """
    if engine not in get_args(Engine):
        raise ConfigError("unknown runtime", expected=", ".join(get_args(Engine)), got=repr(engine))
    if os.fspath(name_or_path).endswith(".onnx"):
        return _exported(name_or_path, engine, device, threads)
    folder = bundle_folder(name_or_path)
    if engine in ("onnxruntime", "openvino"):
        return _graph_of(folder, engine, device, threads)
    if engine == "auto" and _graph_will_do(folder, device, methods, gradients):
        runtime = _exported(folder / GRAPH, "onnxruntime", device, threads)
        if runtime.card.hash == read_card(folder).hash:
            return runtime
    return _on_torch(folder, device, threads)


def _exported(path: str | os.PathLike[str], engine: Engine, device: str, threads: int) -> Runtime:
    """An exported graph on an engine; ONNX Runtime where none is named."""
    from xiqa.assessment.runtimes.onnx import OnnxRuntime  # noqa: PLC0415 - on first use

    if engine == "torch":
        raise ConfigError("PyTorch runs no .onnx file", expected="onnxruntime, openvino or auto", got=engine)
    if device not in ("cpu", "auto"):
        raise ConfigError("an exported model runs on the processor", expected="cpu or auto", got=device)
    return cast("Runtime", OnnxRuntime(path, "onnxruntime" if engine == "auto" else engine, threads))


def _graph_of(folder: Path, engine: Engine, device: str, threads: int) -> Runtime:
    """A bundle's graph, which has to be there and of the bundle's present card."""
    todo = f"xiqa export --model {folder} --out {folder / GRAPH} --force"
    if not (folder / GRAPH).is_file():
        raise BundleError(f"the bundle {folder} has no graph for {engine}", todo=todo)
    runtime = _exported(folder / GRAPH, engine, device, threads)
    card = read_card(folder)
    if runtime.card.hash != card.hash:
        raise BundleError(
            f"the graph of {folder} was exported from another card",
            expected=card.hash,
            got=runtime.card.hash,
            todo=todo,
        )
    return runtime


def _graph_will_do(folder: Path, device: str, methods: tuple[Method | str, ...], gradients: bool) -> bool:
    """Whether a bundle's graph gives what is asked for, or is all that can run here."""
    if not (folder / GRAPH).is_file() or gradients:
        return False
    if find_spec("torch") is None:
        return True
    own = Method.parse(read_card(folder).method)
    return device == "cpu" and all(Method.parse(method) == own for method in methods)


def _on_torch(folder: Path, device: str, threads: int) -> Runtime:
    """A bundle's weights on PyTorch."""
    if find_spec("torch") is None:
        raise MissingDependencyError(
            "gradients, other devices and bundles without an exported graph need PyTorch",
            todo='pip install "xiqa[torch]"; a shipped model\'s own heat map needs none',
        )
    from xiqa.models import load_model  # noqa: PLC0415 - other runtimes need no torch

    if threads:
        import torch  # noqa: PLC0415 - as above

        torch.set_num_threads(threads)
    return as_runtime(load_model(folder, device=device))


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
    engine: str = "auto"
    device: str = "cpu"
    threads: int = 0

    def load(self) -> Runtime:
        """The model, ready to run here."""
        engine = cast("Engine", self.engine)
        return load_runtime(self.model, engine, device=self.device, threads=self.threads)
