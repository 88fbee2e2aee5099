"""Writing the traced graph as an ONNX file with the model's card inside."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import torch

from xiqa import __version__
from xiqa.errors import MissingDependencyError, SaliencyError
from xiqa.export.graph import cut_layers, explained
from xiqa.export.trace import trace
from xiqa.files import write_atomic
from xiqa.models.exported import INPUT, OUTPUTS, VIEW, ExportedCard
from xiqa.saliency.registry import Method, bind

if TYPE_CHECKING:
    import onnx

    from xiqa.models import LoadedModel

__all__ = ["Precision", "export_model", "share_turned", "shrink", "to_onnx"]

Precision = Literal["float32", "float16", "int8"]

BATCH = "batch"
_LARGE = 64  # elements from which a weight is worth the trouble

# Inputs of a Slice that turns a kernel: from the last row and column back to before the first.
_BACKWARDS = {"turn_from": [-1, -1], "turn_to": [-(2**31)] * 2, "turn_axes": [2, 3], "turn_steps": [-1, -1]}


def export_model(
    model: LoadedModel,
    out: str | os.PathLike[str],
    *,
    method: Method | str | None = None,
    precision: Precision = "float32",
) -> ExportedCard:
    """Write a model and one of its heat maps as one ONNX graph.

    Input ``images (batch, C, H, W)``, prepared as the card says; outputs ``logits (batch, K)``,
    ``probability (batch)``, ``heatmap (batch, h, w)`` (raw, for the poor class), ``distance (batch)`` of
    the guard and, where the model has a view check, ``view_probabilities (batch, V)``. The batch is
    free, the image size is the card's.

    Args:
        model: The bundle.
        out: File to write; it appears whole or not at all.
        method: The saliency method; by default the card's own.
        precision: ``float16`` stores the weights in half the bytes, ``int8`` the kernels in a quarter; see
            `shrink`. The arithmetic stays float32.

    Returns:
        What the file says of itself.

    Raises:
        SaliencyError: The method cannot be part of a graph.
        MissingDependencyError: The extra ``export`` is not installed.
    """
    bound, card = bind(method or model.card.method), model.card
    example = torch.zeros(1, *model.card.preprocessing.shape)
    layers = cut_layers(model)
    views = [VIEW] if model.view is not None else []
    with torch.random.fork_rng(devices=[]):  # what is traced with says nothing, and the same every time
        torch.manual_seed(0)
        proto = to_onnx(trace(explained(model, bound), example), [*OUTPUTS, *views, *layers])
    exported = ExportedCard(
        card=card if card.card_sha256 else card.sealed(),
        method=str(bound.method),
        guard_limit=model.guard.threshold if model.guard else None,
        precision=precision,
        layers=_hide_layers(proto, layers),
        xiqa=__version__,
    )
    share_turned(proto)
    if precision != "float32":
        shrink(proto, precision)
    exported = exported.bound_to(proto.SerializeToString())
    for key, value in exported.to_metadata().items():
        proto.metadata_props.add(key=key, value=value)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(Path(out), proto.SerializeToString())
    return exported


def to_onnx(program: torch.export.ExportedProgram, outputs: list[str]) -> onnx.ModelProto:
    """A traced program of images as an ONNX graph with outputs of these names."""
    try:
        import onnxscript  # noqa: F401, PLC0415 - an extra
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "the exporter is not installed", todo='pip install "xiqa[export]"'
        ) from None
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter speaks of its own internals
        try:
            result = torch.onnx.export(
                program, (), dynamo=True, input_names=[INPUT], output_names=outputs, verbose=False
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise SaliencyError(
                "this network's heat map has no ONNX form",
                expected="operations that the exporter knows",
                got=_unknown(error),
                todo="export it with a method at its last layer, or run it on PyTorch",
            ) from error
    assert result is not None
    proto: onnx.ModelProto = result.model_proto
    name_batch(proto)
    return proto


def _unknown(error: BaseException) -> str:
    """The operations that the exporter does not know, from its errors; else their kind."""
    texts, cause = [], cast("BaseException | None", error)
    while cause is not None:
        texts.append(str(cause))
        cause = cause.__cause__
    names = dict.fromkeys(re.findall(r"OpOverload\(op='([\w.]+)'", " ".join(texts)))
    return ", ".join(names) or type(error).__name__


def name_batch(proto: onnx.ModelProto) -> None:
    """Call the free first axis of the input ``batch``, wherever it is, instead of the tracer's symbol."""
    graph = proto.graph
    (symbol,) = {graph.input[0].type.tensor_type.shape.dim[0].dim_param}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(rf"\b{re.escape(symbol)}\b", BATCH, dim.dim_param)


def _hide_layers(proto: onnx.ModelProto, layers: list[str]) -> dict[str, str]:
    """Make the layers' outputs inner tensors again; those that the logits hang on, by the layers' names."""
    graph = proto.graph
    made_by = {name: node for node in graph.node for name in node.output}
    shapes = {output.name: output for output in graph.output if output.name in layers}
    sizes = {}
    for layer in layers:
        tensor = layer
        while tensor in made_by and made_by[tensor].op_type == "Identity":
            node = made_by[tensor]
            tensor = node.input[0]
            graph.node.remove(node)
        graph.output.remove(shapes[layer])
        if not any(value.name == tensor for value in graph.value_info):
            shapes[layer].name = tensor
            graph.value_info.append(shapes[layer])
        if any(node.input and tensor in node.input for node in _needed(graph, OUTPUTS[0])):
            sizes[layer] = tensor
    return sizes


def _needed(graph: onnx.GraphProto, result: str) -> list[onnx.NodeProto]:
    """The nodes that one result hangs on."""
    wanted, nodes = {result}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            nodes.append(node)
            wanted |= set(node.input)
    return nodes


def share_turned(proto: onnx.ModelProto) -> None:
    """Store each kernel once: the backward pass turns the forward's, which a runtime does when it starts."""
    from onnx import helper, numpy_helper  # noqa: PLC0415 - an extra

    graph = proto.graph
    kernels = {
        weight.name: numpy_helper.to_array(weight) for weight in graph.initializer if len(weight.dims) == 4
    }
    names = {(kernel.shape, kernel.tobytes()): name for name, kernel in kernels.items()}
    nodes, gone = [], set[str]()
    for name in [node.input[1] for node in graph.node if node.op_type == "Conv"]:
        if name in gone or name not in kernels or kernels[name].size < _LARGE:
            continue
        kernel = kernels[name]
        depthwise, point = kernel.shape[1] == 1, kernel.shape[2:] == (1, 1)
        turned = kernel[:, :, ::-1, ::-1] if depthwise else kernel[:, :, ::-1, ::-1].swapaxes(0, 1)
        twin = names.get((turned.shape, turned.tobytes()))
        if twin is None or twin == name or twin in gone:
            continue
        gone |= {name, twin}
        middle = name if depthwise else twin if point else f"{twin}_swapped"
        if not depthwise:
            nodes.append(helper.make_node("Transpose", [name], [middle], perm=[1, 0, 2, 3]))
        if not point:
            nodes.append(helper.make_node("Slice", [middle, *_BACKWARDS], [twin]))
        graph.initializer.remove(next(weight for weight in graph.initializer if weight.name == twin))
    if any(node.op_type == "Slice" for node in nodes):
        graph.initializer.extend(
            numpy_helper.from_array(np.array(numbers, np.int64), name) for name, numbers in _BACKWARDS.items()
        )
    _prepend(graph, nodes)


def _prepend(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Put nodes before all others; what they make was told as a constant before."""
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    made = {name for node in nodes for name in node.output}
    for value in [value for value in graph.value_info if value.name in made]:
        graph.value_info.remove(value)


def shrink(proto: onnx.ModelProto, precision: Precision) -> None:
    r"""Store large weights in fewer bytes; a runtime turns them back once, when it starts.

    ``float16`` rounds to half precision. ``int8`` stores a convolution's kernels as whole numbers,
    :math:`w \approx s_o\,q, \ s_o = \max |w_o| / 127`, one scale an output channel; everything else, such as
    the guard's axes, as float16.
    """
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - an extra

    graph, nodes = proto.graph, []
    for weight in list(graph.initializer):
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < _LARGE:
            continue
        name, values = weight.name, numpy_helper.to_array(weight)
        if precision == "int8" and values.ndim == 4:
            scale = np.abs(values).max(axis=(1, 2, 3), keepdims=True).astype(np.float32) / 127
            whole = np.rint(values / np.where(scale > 0, scale, 1)).astype(np.int8)
            weight.CopyFrom(numpy_helper.from_array(whole, f"{name}_whole"))
            graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
            nodes.append(helper.make_node("Cast", [f"{name}_whole"], [f"{name}_cast"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name]))
        elif np.abs(values).max() <= np.finfo(np.float16).max:
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    _prepend(graph, nodes)
