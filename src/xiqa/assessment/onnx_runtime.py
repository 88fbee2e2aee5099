"""An exported model on ONNX Runtime or OpenVINO, without torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xiqa.assessment.runtime import Engine, Inference
from xiqa.errors import BundleError, ConfigError, MissingDependencyError, SaliencyError
from xiqa.models.exported import INPUT, OUTPUTS, ExportedCard
from xiqa.saliency.method import Method

if TYPE_CHECKING:
    from xiqa.imaging.frame import Frame
    from xiqa.types import FloatArray, Image

__all__ = ["OnnxRuntime"]

_Run = Callable[["FloatArray"], "dict[str, FloatArray]"]


class OnnxRuntime:
    """See `xiqa.assessment.runtime.Runtime`.

    Args:
        path: File that `xiqa export` wrote.
        engine: What runs it.
        threads: Threads inside one operation; 0 leaves it to the engine.

    Raises:
        BundleError: The file is absent, broken, or was not exported by xiqa.
        MissingDependencyError: The engine is not installed.
        ConfigError: The engine is unknown.
    """

    def __init__(
        self, path: str | os.PathLike[str], engine: Engine = "onnxruntime", threads: int = 0
    ) -> None:
        file = os.fspath(path)
        if not os.path.isfile(file):  # noqa: PTH113 - a plain check
            raise BundleError(f"no model {file!r}", expected="a file that `xiqa export` wrote")
        start = {"onnxruntime": _start_onnxruntime, "openvino": _start_openvino}.get(engine)
        if start is None:
            raise ConfigError("unknown runtime", expected="onnxruntime or openvino", got=repr(engine))
        metadata, version, self._run = start(file, threads)
        exported = ExportedCard.from_metadata(metadata, file)
        self.card, self.guard_limit = exported.card, exported.guard_limit
        self._method = Method.parse(exported.method)
        self.versions: Mapping[str, str] = {"runtime": version, "precision": exported.precision}

    def prepare(self, image: Image) -> tuple[FloatArray, Frame]:
        """The graph's input for one image, and the frame that leads back to it."""
        return self.card.preprocessing.prepare(image)

    def resolve(self, method: Method | str | None) -> Method:
        """The method inside the graph; no other can be had."""
        if method is not None and Method.parse(method) != self._method:
            raise SaliencyError(
                "this exported model has one heat map",
                expected=str(self._method),
                got=str(method),
                todo="export the model again with that method",
            )
        return self._method

    def infer(self, batch: FloatArray, method: Method) -> Inference:
        """One pass of the graph."""
        found = self._run(np.ascontiguousarray(batch, np.float32))
        distances = found["distance"] if self.guard_limit is not None else None
        return Inference(found["probability"].astype(np.float64), found["heatmap"], distances)


def _start_onnxruntime(file: str, threads: int) -> tuple[Mapping[str, str], str, _Run]:
    try:
        import onnxruntime  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "ONNX Runtime is not installed", todo='pip install "xiqa[onnx]"'
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the engine raises errors of many types for a broken file
        raise BundleError(f"{file} cannot be run", got=str(error).partition("\n")[0]) from error

    def run(batch: FloatArray) -> dict[str, FloatArray]:
        return dict(zip(OUTPUTS, session.run(list(OUTPUTS), {INPUT: batch}), strict=True))

    return session.get_modelmeta().custom_metadata_map, f"onnxruntime {onnxruntime.__version__}", run


def _start_openvino(file: str, threads: int) -> tuple[Mapping[str, Any], str, _Run]:
    try:
        import openvino  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "OpenVINO is not installed", todo='pip install "xiqa[openvino]"'
        ) from None
    try:
        core = openvino.Core()
        model = core.read_model(file)
        exact = {"INFERENCE_PRECISION_HINT": "f32"} | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
        compiled = core.compile_model(model, "CPU", exact)
    except Exception as error:  # the engine raises errors of many types for a broken file
        raise BundleError(f"{file} cannot be run", got=str(error).partition("\n")[0]) from error
    info = model.get_rt_info()
    told = info["framework"] if "framework" in info else {}  # noqa: SIM401 - not a dict
    metadata = {key: getattr(value, "value", value) for key, value in told.items()}

    def run(batch: FloatArray) -> dict[str, FloatArray]:
        results = compiled({INPUT: batch})
        return {name: np.array(results[name]) for name in OUTPUTS}

    return metadata, f"openvino {openvino.__version__.partition('-')[0]}", run
