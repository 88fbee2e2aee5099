r"""Activations that are spelled out: ``x * sigmoid(x)``, ``where(x > 0, x, 0)``, ``(x + |x|) / 2``, ...

Whatever several operations make of *one* value, each number on its own, is one function :math:`y = f(x)`.
Where its ways part and meet again it is a unit, and what it is (a rectifier, a gate or something else) is
decided by what it does to a few numbers, not by the names of its operations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from xiqa.saliency.relevance.operations import ACTIVATIONS, ELEMENTWISE, NONLINEAR, RECTIFIERS
from xiqa.saliency.relevance.tape import Node, Ref, Tape

__all__ = ["kind_of", "rectifies", "with_units"]

Function = Callable[[Tensor], Tensor]
_FAR = 8.0


def kind_of(function: Function, like: Tensor) -> str:
    """What a function of one number each does: ``linear``, ``rectifier``, ``gate`` or ``activation``.

    A rectifier lets positive numbers through and little of negative ones; a gate is level at both ends.

    Args:
        function: The function.
        like: A tensor of the shape and type that it takes.

    >>> [kind_of(f, torch.zeros(1)) for f in (torch.relu, torch.sigmoid, torch.abs, torch.neg)]
    ['rectifier', 'gate', 'activation', 'linear']
    """
    places = [-_FAR, -_FAR / 2, 0.0, _FAR / 2, _FAR]
    values = [function(torch.full_like(like, place)).double() for place in places]
    steps = [after - before for before, after in pairwise(values)]
    size = sum(step.abs() for step in steps)
    if not all(bool(value.isfinite().all()) for value in values):
        return "activation"
    if all(bool(((step - steps[0]).abs() <= 1e-3 * size).all()) for step in steps):
        return "linear"
    low, fall, rise, high = steps
    level = bool(((low.abs() <= 0.05 * size) & (high.abs() <= 0.05 * size)).all())
    if level and bool(((fall.abs() > 0.3 * rise.abs()) & (rise.abs() > 0.3 * fall.abs())).all()):
        return "gate"
    passes = (rise + high > 0) & ((low + fall).abs() <= 0.5 * (rise + high)) & (high <= 8 * rise.abs())
    return "rectifier" if bool(passes.all()) else "activation"


def rectifies(node: Node, tape: Tape) -> bool:
    """Whether one operation is a rectifier; one of no certain name is tried."""
    if node.name in ACTIVATIONS:
        return node.name == "rectifier"
    if node.name in RECTIFIERS:
        return True
    operand = node.inputs[0] if len(node.inputs) == 1 else None
    if operand is None or node.name not in NONLINEAR or not _same_shape(node, tape, operand):
        return False
    return kind_of(_function(tape, operand, node.index), tape.value(operand)) == "rectifier"


def with_units(tape: Tape) -> list[Node]:
    """The nodes of a tape, each unit as one node ``rectifier``, ``gate`` or ``activation`` at its end."""
    nodes = list(tape.nodes)
    tree = _tree(tape)
    inside: set[int] = set()
    for node in reversed(tape.nodes):
        unit = None if node.index in inside else _unit(node, tape, tree)
        if unit is not None and unit.end not in inside:
            inside |= _between(tape, unit.entry, unit.end)
            nodes[unit.end] = unit.node(tape)
    for index in inside:
        if nodes[index].name not in ACTIVATIONS:
            nodes[index] = replace(nodes[index], name="inside")
    return _revived(nodes, tape)


@dataclass(frozen=True)
class _Unit:
    """One function of one value, from its entry to its end."""

    entry: Ref
    end: int
    kind: str

    def node(self, tape: Tape) -> Node:
        """The unit as one operation."""
        function = _function(tape, self.entry, self.end)
        read = (self.entry,)
        end = tape.nodes[self.end]
        return replace(end, name=self.kind, call=function, args=read, kwargs={}, inputs=read, whole=None)


def _unit(node: Node, tape: Tape, tree: _Tree) -> _Unit | None:
    """The unit that meets in an operation, or around it where it is none by itself."""
    if node.index in tree.joins:
        entry = tree.parents[node.index]
        if _skips(node, entry, _between(tape, entry, node.index), tape):
            return None
        kind = _kind(tape, entry, node.index)
        if kind == "linear":
            return None
        scaled = _scaled(node.index, tree)
        passes = kind == "rectifier" and not _unscaled(tape, entry, node.index)
        fits = passes and scaled != node.index and _unscaled(tape, entry, scaled)
        return _Unit(entry, scaled if fits else node.index, kind)
    if node.name not in NONLINEAR or node.index not in tree.parents or len(node.inputs) != 1:
        return None
    entry, end = _source(node.index, tape, tree), _scaled(node.index, tree)
    if node.name in ("log", "log1p", "hardtanh", "clamp", "clamp_max", "minimum", "fmin", "threshold"):
        kind = _kind(tape, entry, end)
        own = _kind(tape, tree.parents[node.index], node.index)
        if kind != own and kind in ("rectifier", "gate"):
            return _Unit(entry, end, kind)
    return None


def _kind(tape: Tape, entry: Ref, end: int) -> str:
    return kind_of(_function(tape, entry, end), tape.value(entry))


def _unscaled(tape: Tape, entry: Ref, end: int) -> bool:
    """Whether large numbers pass as they are."""
    like = tape.value(entry)
    high, far = (_function(tape, entry, end)(torch.full_like(like, part * _FAR)) for part in (2, 4))
    return bool(((far - high) / (2 * _FAR) - 1).abs().max() < 1e-3)


def _scaled(end: int, tree: _Tree) -> int:
    """The end of what only scales an operation's result: a product with a number, or a change of sign."""
    following = tree.scales.get(end)
    return end if following is None else _scaled(following, tree)


def _source(index: int, tape: Tape, tree: _Tree) -> Ref:
    """The value before shifts, scales and exponentials of an operation's operand."""
    at = tree.parents[index]
    while at.node in tree.parents and at.node not in tree.joins:
        if tape.nodes[at.node].name not in ("add", "sub", "rsub", "mul", "div", "neg", "exp"):
            break
        at = tree.parents[at.node]
    return at


def _revived(nodes: list[Node], tape: Tape) -> list[Node]:
    """Give operations inside a unit that are read from elsewhere their names back."""
    for node in reversed(nodes):
        if node.name != "inside":
            for ref in node.inputs:
                if nodes[ref.node].name == "inside":
                    nodes[ref.node] = tape.nodes[ref.node]
    return nodes


@dataclass(frozen=True)
class _Tree:
    """Where the ways to each value part.

    Attributes:
        parents: Immediate dominator of each elementwise operation: the value that all its ways run through.
        depths: Steps from the value that the tree begins with.
        joins: Operations in which several ways meet.
        scales: What alone reads an operation, where it only scales.
    """

    parents: dict[int, Ref]
    depths: dict[int, int]
    joins: set[int]
    scales: dict[int, int]


def _tree(tape: Tape) -> _Tree:
    tree = _Tree({}, {}, set(), {})
    readers = tape.consumers()
    for node in tape.nodes:
        reads = _reads(node)
        parent = reads[0] if reads else None
        for other in reads[1:]:
            parent = None if parent is None else _meet(parent, other, tree)
        if parent is None or node.name not in ELEMENTWISE or not _same_shape(node, tape, parent):
            tree.depths[node.index] = 0
            continue
        tree.parents[node.index], tree.depths[node.index] = parent, tree.depths[parent.node] + 1
        if len(reads) > 1:
            tree.joins.add(node.index)
        elif node.name in ("mul", "div", "neg") and readers[parent.node] == 1:
            tree.scales[parent.node] = node.index
    return tree


def _reads(node: Node) -> list[Ref]:
    """All values of a tape that an operation reads, masks included."""
    args, kwargs = node.whole or (node.args, node.kwargs)
    leaves = tree_leaves((args, kwargs), is_leaf=lambda leaf: isinstance(leaf, Ref))
    return [leaf for leaf in leaves if isinstance(leaf, Ref)]


def _meet(first: Ref, other: Ref, tree: _Tree) -> Ref | None:
    """The nearest value that all ways to two values run through."""
    while first != other:
        if tree.depths[first.node] < tree.depths[other.node]:
            first, other = other, first
        parent = tree.parents.get(first.node)
        if parent is None:
            return None
        first = parent
    return first


def _same_shape(node: Node, tape: Tape, ref: Ref) -> bool:
    return ref.output == 0 and node.shape is not None and tape.nodes[ref.node].shape == node.shape


def _between(tape: Tape, entry: Ref, end: int) -> set[int]:
    """The operations between a unit's entry and its end."""
    places: set[int] = set()
    waiting = _reads(tape.nodes[end])
    while waiting:
        ref = waiting.pop()
        if ref != entry and ref.node not in places:
            places.add(ref.node)
            waiting += _reads(tape.nodes[ref.node])
    return places


def _skips(node: Node, entry: Ref, between: set[int], tape: Tape) -> bool:
    """Whether this is a residual connection around something that rectifies by itself."""
    around = node.name in ("add", "sub") and entry in _reads(node)
    return around and any(tape.nodes[index].name in RECTIFIERS for index in between)


def _function(tape: Tape, entry: Ref, end: int) -> Function:
    """The operations from one value to another as a function."""
    order = [tape.nodes[index] for index in sorted(_between(tape, entry, end) | {end})]

    def run(x: Tensor) -> Tensor:
        values: dict[Ref, Any] = {entry: x}
        for node in order:
            args, kwargs = node.whole or (node.args, node.kwargs)
            args, kwargs = (_filled(part, values) for part in (args, kwargs))
            outputs = node.call(*args, **kwargs)
            several = outputs if isinstance(outputs, (tuple, list)) else [outputs]
            values.update({Ref(node.index, place): output for place, output in enumerate(several)})
        result: Tensor = values[Ref(end)]
        return result

    return run


def _filled(arguments: Any, values: dict[Ref, Any]) -> Any:
    return tree_map(
        lambda leaf: values[leaf] if isinstance(leaf, Ref) else leaf,
        arguments,
        is_leaf=lambda leaf: isinstance(leaf, Ref),
    )
