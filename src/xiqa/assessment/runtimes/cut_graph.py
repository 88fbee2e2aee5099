"""An exported graph in pieces: to its logits alone, up to a layer, and from that layer on.

Methods that score many altered copies of an image need neither heat map nor guard with each of them, and
methods that mask features need what is behind a layer. Both are parts of the one graph in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xiqa.errors import MissingDependencyError, SaliencyError
from xiqa.models.exported import INPUT, OUTPUTS

if TYPE_CHECKING:
    import onnx

    from xiqa.types import FloatArray

__all__ = ["CutGraph", "Run", "cut"]

Run = Callable[[Mapping[str, "FloatArray"]], "dict[str, FloatArray]"]

_LOGITS = OUTPUTS[0]


class CutGraph:
    """See `xiqa.saliency.portable.CutModel`.

    Args:
        graph: An exported model's bytes.
        layers: Its layers' tensors, by the layers' names.
        start: Makes a serialised graph run.
    """

    def __init__(self, graph: bytes, layers: Mapping[str, str], start: Callable[[bytes], Run]) -> None:
        self._graph, self._layers, self._start = graph, layers, start
        self._pieces: dict[tuple[str, str], tuple[Run, Collection[str]]] = {}

    def __call__(self, images: FloatArray) -> FloatArray:
        """Logits ``(N, K)`` of images ``(N, C, H, W)``."""
        run, _ = self._piece(INPUT, _LOGITS)
        return run({INPUT: images})[_LOGITS]

    def features(self, layer: str, image: FloatArray) -> FloatArray:
        """Output ``(1, C, h, w)`` of a layer for one image ``(C, H, W)``."""
        tensor = self.tensor(layer)
        run, _ = self._piece(INPUT, tensor)
        return run({INPUT: image[None]})[tensor]

    def behind(self, layer: str, image: FloatArray) -> Callable[[FloatArray], FloatArray]:
        """What lies behind a layer, as a function of its features ``(M, C, h, w)``.

        Where a branch goes past the layer, it is run again for the image with every copy.
        """
        tensor = self.tensor(layer)
        run, inputs = self._piece(tensor, _LOGITS)

        def rest(features: FloatArray) -> FloatArray:
            feeds = {tensor: np.ascontiguousarray(features)}
            if INPUT in inputs:
                feeds[INPUT] = np.repeat(image[None], len(features), axis=0)
            return run(feeds)[_LOGITS]

        return rest

    def tensor(self, layer: str) -> str:
        """The layer's tensor.

        Raises:
            SaliencyError: The graph cannot be cut there.
        """
        if layer not in self._layers:
            raise SaliencyError(
                f"the exported graph cannot be cut at {layer!r}",
                expected=f"one of {', '.join(self._layers) or 'none'}",
                todo="choose one of those, or run the method on the bundle",
            )
        return self._layers[layer]

    def _piece(self, source: str, result: str) -> tuple[Run, Collection[str]]:
        """The part of the graph from one tensor to another, running, and its inputs."""
        if (source, result) not in self._pieces:
            try:
                import onnx  # noqa: PLC0415 - an extra
            except ModuleNotFoundError:
                raise MissingDependencyError(
                    "a graph cannot be cut without the package onnx", todo='pip install "xiqa[onnx]"'
                ) from None
            piece = cut(onnx.load_from_string(self._graph), source, result)
            inputs = [one.name for one in piece.graph.input]
            self._pieces[source, result] = self._start(piece.SerializeToString()), inputs
        return self._pieces[source, result]


def cut(model: onnx.ModelProto, source: str, result: str) -> onnx.ModelProto:
    """The part of a graph that one result needs, with one tensor given from outside.

    Args:
        model: Left as it is.
        source: A tensor that becomes an input; the graph's own inputs stay where something else needs them.
        result: The only output.
    """
    from onnx import TensorProto, helper  # noqa: PLC0415 - an extra

    tensor_info: Any = helper.make_tensor_value_info

    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    wanted, seen, nodes = [result], set[str](), set[int]()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        if name != source and name in made_by:
            nodes.add(id(made_by[name]))
            wanted += [one for one in made_by[name].input if one]
    shapes = {one.name: one for one in (*graph.input, *graph.output, *graph.value_info)}
    for name in (source, result):
        shapes.setdefault(name, tensor_info(name, TensorProto.FLOAT, list("nchw")))
    inputs = [shapes[source]]
    inputs += [one for one in graph.input if one.name in seen and one.name != source]
    piece = helper.make_graph(
        [node for node in graph.node if id(node) in nodes],
        "piece",
        inputs,
        [shapes[result]],
        [one for one in graph.initializer if one.name in seen],
        value_info=[one for one in graph.value_info if one.name in seen and one.name not in (source, result)],
    )
    return helper.make_model(piece, opset_imports=model.opset_import, ir_version=model.ir_version)
