"""A tape's weighted layers as affine ones, batch norm merged into them."""

from __future__ import annotations

from dataclasses import replace

import torch

from xiqa.errors import UnsupportedOperationError
from xiqa.saliency.relevance.affine import Affine, Convolution, Dense, Diagonal
from xiqa.saliency.relevance.tape import Node, Ref, Tape
from xiqa.saliency.relevance.units import with_units

__all__ = ["canonise"]


def canonise(tape: Tape) -> Tape:
    r"""Turn weighted layers into `Affine` nodes, and merge batch norm into a layer that only it reads.

    With :math:`s = \gamma / \sqrt{\sigma^2 + \epsilon}`, a batch norm after :math:`W x + b` is the one layer
    :math:`(s W) x + s (b - \mu) + \beta`; its value is already on the tape, so nothing is computed again.
    Activations that are spelled out become one node each (`with_units`).
    Elsewhere (before an activation that a convolution follows, as in DenseNet) it is a `Diagonal`.

    Raises:
        UnsupportedOperationError: A batch norm that normalises over the batch.
    """
    nodes = with_units(tape)
    tape = Tape(nodes[:], tape.logits, tape.layers)
    readers = tape.consumers()
    for node in tape.nodes:
        if node.name in _BATCH_NORMS:
            nodes[node.index] = _canonised_norm(node, nodes, tape, readers[node.inputs[0].node])
        elif (affine := _weighted(node)) is not None:
            nodes[node.index] = replace(node, name="affine", affine=affine)
    return Tape(nodes, tape.logits, tape.layers)


_BATCH_NORMS = (
    "native_batch_norm",
    "cudnn_batch_norm",
    "miopen_batch_norm",
    "_native_batch_norm_legit_no_training",
)


def _weighted(node: Node) -> Affine | None:
    """The layer behind a convolution or matrix product whose weights do not depend on the input."""
    if len(node.inputs) != 1:
        return None
    args = node.args
    if node.name == "convolution" and isinstance(args[0], Ref):
        return Convolution(args[1], args[2], *args[3:9])
    if node.name in ("mm", "bmm") and isinstance(args[0], Ref):
        return Dense(args[1], None)
    if node.name == "addmm" and isinstance(args[1], Ref) and not node.kwargs and args[0].dim() == 1:
        return Dense(args[2], args[0])
    return None


def _canonised_norm(node: Node, nodes: list[Node], tape: Tape, readers: int) -> Node:
    """A batch norm as an affine node of its own, or as one with the layer before it."""
    _, weight, bias, mean, variance, *rest = node.args
    if node.name != "_native_batch_norm_legit_no_training" and rest[0]:
        return _instance_norm(node, tape)
    scale = torch.rsqrt(variance + rest[-1])
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    before = nodes[node.inputs[0].node]
    channels_last = isinstance(before.affine, Dense) and node.output.dim() > 2
    if before.affine is None or readers > 1 or channels_last:
        own = Diagonal(scale, shift, dims=node.output.dim())
        return replace(node, name="affine", affine=own)
    shift = shift if before.affine.bias is None else shift + before.affine.bias * scale
    merged = before.affine.merged(scale, shift)
    return replace(node, name="affine", affine=merged, inputs=before.inputs)


def _instance_norm(node: Node, tape: Tape) -> Node:
    """A batch norm with the statistics of its input, allowed of one sample (instance norm)."""
    if len(tape.value(node.inputs[0])) == 1 and tape.nodes[node.inputs[0].node].name in (
        "view",
        "_unsafe_view",
    ):
        return replace(node, name="instance_norm")
    raise UnsupportedOperationError(
        f"the batch norm in {node.module} normalises over the batch, so that images explain each other",
        expected="running statistics",
        todo="give the network running statistics (track_running_stats=True) and train it",
    )
