"""Rewrites of a traced graph that leave its results alone and make runtimes faster.

What a tracer writes down of a backward pass is what PyTorch computes, not what an ONNX runtime is quick at:
an activation's gradient asks again for what the forward pass has already, a gradient is computed on a padded
grid and cut afterwards, a norm of a product is taken channel by channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, fx

__all__ = ["crop_early", "fix_sizes", "rewrite", "share_equal", "shorten_norms"]

aten = torch.ops.aten


def rewrite(graph: fx.GraphModule) -> None:
    """All of them, in place."""
    fix_sizes(graph)
    share_equal(graph)
    crop_early(graph)
    shorten_norms(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def fix_sizes(graph: fx.GraphModule) -> None:
    """Write every size that does not hang on the batch as a number."""
    images = next(node for node in graph.graph.nodes if node.op == "placeholder")
    batch = images.meta["val"].shape[0].node.expr
    for node in graph.graph.nodes:
        size = node.meta.get("val")
        if isinstance(size, torch.SymInt) and not size.node.expr.free_symbols & batch.free_symbols:
            node.replace_all_uses_with(cast("Any", size.node.hint))


def share_equal(graph: fx.GraphModule) -> None:
    """Let operations that do the same with the same tensors share one result."""
    seen: dict[tuple[object, ...], fx.Node] = {}
    for node in list(graph.graph.nodes):
        if node.op not in ("call_function", "get_attr"):
            continue
        key = (node.op, node.target, str(node.args), str(sorted(node.kwargs.items())))
        if key in seen:
            node.replace_all_uses_with(seen[key])
            graph.graph.erase_node(node)
        else:
            seen[key] = node


def crop_early(graph: fx.GraphModule) -> None:
    """Compute no border that is cut off again: a crop behind a convolution of stride 1 becomes less padding.

    Networks that pad unevenly before a convolution ("same" padding) have such a crop in their gradient.
    """
    for crop in list(graph.graph.nodes):
        if crop.target is not aten.constant_pad_nd.default or any(amount > 0 for amount in crop.args[1]):
            continue
        if not any(crop.args[1]):
            crop.replace_all_uses_with(crop.args[0])
            continue
        conv = crop.args[0]
        if conv.target is not aten.convolution.default or len(conv.users) > 1 or set(conv.args[3]) != {1}:
            continue
        pad = conv.args[0]
        if pad.target is not aten.constant_pad_nd.default or (len(pad.args) > 2 and pad.args[2] != 0):
            continue
        amounts: list[int] = [least + more for least, more in zip(crop.args[1], pad.args[1], strict=True)]
        with graph.graph.inserting_before(conv):
            smaller = graph.graph.call_function(aten.constant_pad_nd.default, (pad.args[0], amounts, 0.0))
        conv.replace_input_with(pad, smaller)
        crop.replace_all_uses_with(conv)


def shorten_norms(graph: fx.GraphModule) -> None:
    r"""Norms over the channels, without the gradient where it is a product.

    A gradient :math:`g_k(u) = w_k s(u)` that a 1x1 convolution of one channel gives (evidence read by one
    convolution) has the norm :math:`|s(u)|\,\|w\|`: one number a place, and no gradient is ever made. Any
    other Euclidean norm becomes :math:`\sqrt{\sum_k x_k^2}`, since runtimes are slow at ReduceL2.
    """
    for norm in list(graph.graph.nodes):
        if norm.target is not aten.linalg_vector_norm.default or len(norm.args) < 3 or norm.args[2] != [1]:
            continue
        values, order = norm.args[0], float(norm.args[1])
        weight = _outer_weight(graph, values)
        with graph.graph.inserting_before(norm):
            call = _caller(graph)
            if weight is not None:
                scale = float(torch.linalg.vector_norm(weight.double(), ord=order))
                size = call(aten.squeeze.dim, call(aten.abs.default, values.args[0]), 1)
                result = call(aten.mul.Tensor, size, scale)
            elif order == 2:
                squares = call(aten.mul.Tensor, values, values)
                result = call(aten.sqrt.default, call(aten.sum.dim_IntList, squares, [1]))
            else:
                continue
        norm.replace_all_uses_with(result)


def _caller(graph: fx.GraphModule) -> Callable[..., fx.Node]:
    return lambda target, *args: graph.graph.call_function(target, args)


def _outer_weight(graph: fx.GraphModule, node: fx.Node) -> Tensor | None:
    """The weights ``(C, 1, 1, 1)`` of a plain 1x1 convolution of one channel; None for anything else."""
    if node.target is not aten.convolution.default:
        return None
    weight, bias, stride, padding = node.args[1:5]
    if not isinstance(weight, fx.Node) or weight.op != "get_attr" or bias is not None:
        return None
    values = cast("Tensor", getattr(graph, str(weight.target)))
    steps, borders = set(cast("list[int]", stride)), cast("list[int]", padding)
    plain = tuple(values.shape[1:]) == (1, 1, 1) and steps == {1} and not any(borders)
    return values if plain and node.args[8] == 1 else None
