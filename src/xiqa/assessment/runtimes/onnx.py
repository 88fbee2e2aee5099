"""An exported model on ONNX Runtime or OpenVINO, without torch."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xiqa.assessment.reading import Source, arrays_of, read_ahead
from xiqa.assessment.runtime import Engine, Inference
from xiqa.assessment.runtimes.cut_graph import CutGraph, Run
from xiqa.errors import BundleError, ConfigError, MissingDependencyError, SaliencyError
from xiqa.files import regular_bytes
from xiqa.models.exported import INPUT, OUTPUTS, VIEW, ExportedCard
from xiqa.saliency.method import Method
from xiqa.saliency.portable import bind_portable, probe_map
from xiqa.saliency.registry import portable_methods
from xiqa.types import SaliencyMap

if TYPE_CHECKING:
    from xiqa.geometry import Frame
    from xiqa.models.card import BundleCard
    from xiqa.types import FloatArray, Image

__all__ = ["OnnxRuntime", "start_engine"]


MOST_GRAPH_BYTES = 2 << 30  # a protobuf message is no larger


class _Started(NamedTuple):
    """A graph that runs; what it takes and gives has these names and shapes, 0 where a side is free."""

    run: Run
    version: str
    metadata: Mapping[str, Any]
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Collection[str]


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
        start, graph = start_engine(engine), _content(file)
        started = start(graph, file, threads)
        self._run = started.run
        exported = ExportedCard.from_metadata(started.metadata, file)
        exported.check_graph(graph, file)
        _check_ends(started, exported.card, file)
        self.graph = CutGraph(graph, exported.layers, lambda piece: start(piece, file, threads).run)
        self.card, self.guard_limit = exported.card, exported.guard_limit
        self._method = Method.parse(exported.method)
        self.device, self.threads = "cpu", threads
        self.versions: Mapping[str, str] = {"runtime": started.version, "precision": exported.precision}

    def prepare(self, image: Image) -> tuple[FloatArray, Frame]:
        """The graph's input for one image, and the frame that leads back to it."""
        return self.card.preprocessing.prepare(image)

    def resolve(self, method: Method | str | None) -> Method:
        """The method inside the graph, or one that only scores images and features."""
        if method is None or Method.parse(method) == self._method:
            return self._method
        if Method.parse(method).name not in portable_methods():
            raise SaliencyError(
                "this exported model has one heat map",
                expected=f"{self._method}, or one of {', '.join(portable_methods())}",
                got=str(method),
                todo='use the bundle on PyTorch (pip install "xiqa[torch]"), or export it with that method',
            )
        layer = str(bind_portable(method).params.get("layers", "none"))
        if layer != "none":
            self.graph.tensor(self.card.layers.last if layer == "last" else layer)
        return Method.parse(method)

    def infer(self, batch: FloatArray, method: Method) -> Inference:
        """One pass of the graph; other methods than its own make theirs on the parts that they need."""
        found = self._run({INPUT: np.ascontiguousarray(batch, np.float32)})
        maps, params = found["heatmap"], self._named(method.params)
        if method != self._method:
            bound, card = bind_portable(method), self.card
            one = [probe_map(self.graph, image, bound, card.poor_class, card.layers.last) for image in batch]
            maps, params = np.stack(one), self._named(bound.params)
        distances = found["distance"] if self.guard_limit is not None else None
        targets = np.full(len(batch), self.card.poor_class)
        views = found[VIEW] if self.card.view is not None else None
        return Inference(
            found["probability"].astype(np.float64), maps, targets, params, distances, views=views
        )

    def explain(
        self, images: Iterable[Source], methods: Sequence[Method | str], target: int | str | None = None
    ) -> dict[str, list[SaliencyMap]]:
        """See `xiqa.explain`."""
        card = self.card
        poor = card.classes[card.poor_class]
        if target not in (None, card.poor_class, poor):
            raise SaliencyError("an exported model explains one class", expected=poor, got=repr(target))
        chosen = [self.resolve(method) for method in methods]
        results: dict[str, list[SaliencyMap]] = {str(method): [] for method in chosen}
        for prepared in read_ahead(images, self.prepare, ahead=2):
            (array,) = arrays_of([prepared])
            for method in chosen:
                seen = self.infer(array[None], method)
                results[str(method)].append(
                    SaliencyMap(
                        seen.maps[0],
                        method.name,
                        card.poor_class,
                        params=seen.params,
                        input_size=card.preprocessing.size,
                        frame=prepared.frame,
                    )
                )
        return results

    def _named(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A method's parameters with the layers' names in them."""
        layers = self.card.layers
        known = {"last": (layers.last,), "multi": layers.multi}
        named = params.get("layers", "last")
        return {**params, "layers": known.get(named, named) if isinstance(named, str) else named}


def _content(file: str) -> bytes:
    """The file's bytes: what is checked is what runs."""
    try:
        return regular_bytes(file, MOST_GRAPH_BYTES)
    except (OSError, ValueError) as error:
        got = error.strerror if isinstance(error, OSError) else str(error)
        raise BundleError(
            f"no model {file!r}", expected="a file that `xiqa export` wrote", got=got
        ) from error


def _check_ends(started: _Started, card: BundleCard, file: str) -> None:
    """Refuse a graph that takes or gives something else than its card says."""
    wanted = {*OUTPUTS, *([VIEW] if card.view is not None else [])}
    sides = next(iter(started.inputs.values()), ())[1:]
    fits = len(sides) == 3 and all(
        side in (0, own) for side, own in zip(sides, card.preprocessing.shape, strict=True)
    )
    if set(started.inputs) != {INPUT} or not fits or not wanted <= set(started.outputs):
        raise BundleError(
            f"the graph of {file} is not one that xiqa exported",
            expected=f"{INPUT} {card.preprocessing.shape} and the outputs {', '.join(sorted(wanted))}",
            got=f"{dict(started.inputs)} and {', '.join(started.outputs) or 'none'}",
            todo="export the model again",
        )


def start_engine(engine: str) -> Callable[[str | bytes, str, int], _Started]:
    """What makes a graph run: a function of a file or a serialised graph, its name, and the threads.

    Raises:
        ConfigError: The engine is unknown.
    """
    start = {"onnxruntime": _start_onnxruntime, "openvino": _start_openvino}.get(engine)
    if start is None:
        raise ConfigError("unknown runtime", expected="onnxruntime or openvino", got=repr(engine))
    return start


def _start_onnxruntime(model: str | bytes, file: str, threads: int) -> _Started:
    try:
        import onnxruntime  # noqa: PLC0415 - on first use
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "ONNX Runtime is not installed", todo="pip install onnxruntime; PyTorch runs bundles without it"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the engine raises errors of many types for a broken file
        raise BundleError(f"{file} cannot be run", got=str(error).partition("\n")[0]) from error

    names = [output.name for output in session.get_outputs()]

    def run(feeds: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))

    metadata = session.get_modelmeta().custom_metadata_map
    inputs = {
        one.name: tuple(side if isinstance(side, int) else 0 for side in one.shape)
        for one in session.get_inputs()
    }
    return _Started(run, f"onnxruntime {onnxruntime.__version__}", metadata, inputs, names)


def _start_openvino(model: str | bytes, file: str, threads: int) -> _Started:
    try:
        import openvino  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "OpenVINO is not installed", todo='pip install "xiqa[openvino]"'
        ) from None
    try:
        core = openvino.Core()
        read = core.read_model(io.BytesIO(model) if isinstance(model, bytes) else model)
        exact = {"INFERENCE_PRECISION_HINT": "f32"} | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
        compiled = core.compile_model(read, "CPU", exact)
    except Exception as error:  # the engine raises errors of many types for a broken file
        raise BundleError(f"{file} cannot be run", got=str(error).partition("\n")[0]) from error
    info = read.get_rt_info()
    told = info["framework"] if "framework" in info else {}  # noqa: SIM401 - not a dict
    metadata = {key: getattr(value, "value", value) for key, value in told.items()}

    names = [output.get_any_name() for output in compiled.outputs]

    def run(feeds: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        results = compiled(dict(feeds))
        return {name: np.array(results[name]) for name in names}

    inputs = {
        one.get_any_name(): tuple(
            side.get_length() if side.is_static else 0 for side in one.get_partial_shape()
        )
        for one in compiled.inputs
    }
    version = f"openvino {openvino.__version__.partition('-')[0]}"
    return _Started(run, version, metadata, inputs, names)
