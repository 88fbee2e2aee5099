"""A function with backward passes inside, traced into one graph of forward operations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from xiqa.errors import SaliencyError
from xiqa.export.decompositions import InterpolationByMatrices, PoolingByMeans, backward_table
from xiqa.export.rewrite import rewrite

__all__ = ["fold_constants", "trace"]

# A batch size that no layer's width equals, so that the tracer takes it for no constant.
_BATCH = 7


def trace(function: Callable[[Tensor], tuple[Tensor, ...]], example: Tensor) -> torch.export.ExportedProgram:
    """Trace a function of images into a program for any batch size.

    Args:
        function: From images ``(N, C, H, W)`` to tensors; may call `torch.autograd.grad`.
        example: ``(1, C, H, W)``; the program is for its size.

    Returns:
        The program, free of backward operations, with everything that hangs on no image folded.

    Raises:
        UnsupportedOperationError: A backward operation has no replacement.
        SaliencyError: The function does something that no graph can hold.
    """
    images = example.expand(_BATCH, *example.shape[1:]).clone() + 0.01 * torch.randn(_BATCH, 1, 1, 1)
    try:
        with InterpolationByMatrices(), PoolingByMeans(), sdpa_kernel(SDPBackend.MATH):
            graph = make_fx(
                function,
                decomposition_table=backward_table(),
                tracing_mode="symbolic",
                _allow_non_fake_inputs=True,
            )(images)
        fold_constants(graph)
        rewrite(graph)
        batch = torch.export.Dim("batch", min=1, max=1024)
        return torch.export.export(graph, (images,), dynamic_shapes=({0: batch},), strict=False)
    except (RuntimeError, TypeError, ValueError) as error:
        raise SaliencyError(
            "this cannot be traced into a graph", got=str(error).partition("\n")[0]
        ) from error


def fold_constants(graph: fx.GraphModule) -> None:
    """Compute every node that hangs on weights alone once, and drop what is not used."""
    graph.graph.eliminate_dead_code()
    known: dict[fx.Node, Tensor] = {}
    for node in list(graph.graph.nodes):
        if node.op == "get_attr":
            value = _attribute(graph, str(node.target))
        elif node.op == "call_function" and all(n in known for n in node.all_input_nodes):
            args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: known[n])
            value = node.target(*args, **kwargs)
        else:
            continue
        if isinstance(value, Tensor):
            known[node] = value.detach()
    for place, (node, value) in enumerate(known.items()):
        if node.op == "get_attr" or all(user in known for user in node.users):
            continue
        name = f"folded_{place}"
        graph.register_buffer(name, value.contiguous())
        with graph.graph.inserting_before(node):
            node.replace_all_uses_with(graph.graph.get_attr(name))
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()


def _attribute(graph: fx.GraphModule, name: str) -> object:
    value: object = graph
    for part in name.split("."):
        value = getattr(value, part)
    return value
