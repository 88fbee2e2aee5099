"""What each operation of a traced network does to windows: the operations that are known, and no other.

An operation has a *rule* when its output changes in a window wherever its input does. Its kernel may look
beyond the window, or another input's window be smaller: there the rule keeps the whole map.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional

from xiqa.saliency.incremental.windows import ChangingMap, Grid, Sliding, Windows, united

__all__ = ["Rule", "grid_of", "rule_of", "whole"]

_aten = torch.ops.aten

_NAMES = (
    "abs clamp clone elu exp gelu hardsigmoid hardswish hardtanh leaky_relu maximum minimum mish neg "
    "_prelu_kernel relu sigmoid silu softplus sqrt tanh"
)
_ELEMENTWISE = {getattr(_aten, name).default for name in _NAMES.split()} | {
    getattr(_aten, name).Tensor for name in ("add", "sub", "mul", "div")
}
_BATCH_NORM = {_aten.native_batch_norm.default, _aten._native_batch_norm_legit_no_training.default}

#: The output in windows, from each image-dependent input in the windows that are seen.
Operation = Callable[[list[Tensor]], Tensor]


@dataclass(eq=False)
class Rule:
    """A node whose output changes in windows only.

    Attributes:
        node: The node.
        windows: Where its output changes.
        sources: Its image-dependent inputs, and where they change.
        operation: Its output in the windows from its inputs there.
        sliding: Its kernel, if it looks around.
        moves: Whether it only hands its input on, to a place further down or right.
        maps: The inputs of which it sees more than what changes.
    """

    node: fx.Node
    windows: Windows
    sources: Mapping[fx.Node, Windows]
    operation: Operation
    sliding: Sliding | None = None
    moves: bool = False
    maps: dict[fx.Node, ChangingMap] = field(default_factory=dict)

    def keep(self, whole: Mapping[fx.Node, Tensor], *, cumulative: bool) -> None:
        """Keep the first image's maps of the inputs of which it sees more than what changes."""
        for source, changed in self.sources.items():
            if self.sliding is not None:
                self.maps[source] = ChangingMap(
                    whole[source],
                    padding=self.sliding.padding,
                    after=self.sliding.behind(grid_of(source), grid_of(self.node)),
                    fill=self.sliding.fill,
                    cumulative=cumulative,
                )
            elif not self.moves and not changed.are(self.windows):
                self.maps[source] = ChangingMap(whole[source], cumulative=cumulative)

    def __call__(self, changed: Mapping[fx.Node, Tensor], part: slice) -> Tensor:
        """The output in the windows of some images, from the inputs in theirs."""
        corners, size = self.windows.corners[part], self.windows.size
        if self.sliding is not None:
            corners, size = corners * self.sliding.stride, self.sliding.seen(size)
        return self.operation(
            [
                self.maps[source].cut(changed[source], windows.corners[part], corners, size)
                if source in self.maps
                else changed[source]
                for source, windows in self.sources.items()
            ]
        )


def whole(node: fx.Node, values: Mapping[fx.Node, Any], constants: Mapping[fx.Node, Any]) -> Any:
    """A node's output for whole images; of several outputs the first, which is all that is asked for."""
    if node.target is operator.getitem:
        return values[node.args[0]]  # type: ignore[index]
    args, kwargs = fx.map_arg(
        (node.args, node.kwargs), lambda source: constants[source] if source in constants else values[source]
    )
    value = node.target(*args, **kwargs)  # type: ignore[operator]
    return value[0] if isinstance(value, (tuple, list)) else value


def grid_of(node: fx.Node) -> Grid:
    """Rows and columns of a node's output ``(N, C, H, W)``, or of the first of its outputs."""
    value = node.meta["val"]
    shape = (value[0] if isinstance(value, (tuple, list)) else value).shape
    return int(shape[-2]), int(shape[-1])


def rule_of(
    node: fx.Node, windows: Mapping[fx.Node, Windows], constants: Mapping[fx.Node, Any]
) -> Rule | None:
    """The rule of a node.

    Args:
        node: A call in a graph of pure operations.
        windows: Where the nodes before it change, for those that change in windows only.
        constants: The values of the nodes that hang on no image.

    Returns:
        None where all of its output may change, or where nothing is known of its operation.
    """
    inputs = [source for source in node.all_input_nodes if source not in constants]
    if not inputs or any(source not in windows for source in inputs) or not _is_map(node):
        return None
    sources = {source: windows[source] for source in inputs}
    moved = _passed_on(node)
    if moved is not None:
        return Rule(node, sources[inputs[0]].moved(moved), sources, lambda seen: seen[0], moves=True)
    slide = _slides(node, constants)
    if slide is not None and not slide[0].stays:
        return Rule(node, slide[0].seeing(sources[inputs[0]], grid_of(node)), sources, slide[1], slide[0])
    if slide is None and not _is_pointwise(node, inputs, constants):
        return None
    return Rule(
        node,
        united(list(sources.values()), grid_of(node)),
        sources,
        lambda seen: whole(node, dict(zip(inputs, seen, strict=True)), constants),
    )


def _is_map(node: fx.Node) -> bool:
    """Whether a node's output, of several the first and no other asked for, is ``(N, C, H, W)``."""
    value = node.meta["val"]
    several = isinstance(value, (tuple, list))
    first = value[0] if several else value
    if not isinstance(first, Tensor) or first.ndim != 4:
        return False
    return not several or all(map(_is_first, node.users))


def _is_first(node: fx.Node) -> bool:
    """Whether a node takes the first of several outputs."""
    return node.target is operator.getitem and bool(node.args[1] == 0)


def _passed_on(node: fx.Node) -> Grid | None:
    """For an operation that only hands its input on: how far, down and right, it moves it."""
    if _is_first(node):
        return 0, 0
    if node.target is _aten.constant_pad_nd.default:
        pads = [*_arguments(node)["pad"], 0, 0]  # before and behind, from the last axis on
        if min(pads) >= 0 and not any(pads[4:]):
            return pads[2], pads[0]
    return None


def _is_pointwise(node: fx.Node, inputs: list[fx.Node], constants: Mapping[fx.Node, Any]) -> bool:
    """Whether each place of the output hangs on the same place of the inputs alone, as any place does."""
    if node.target in _BATCH_NORM:
        arguments = _arguments(node)
        return inputs == [arguments["input"]] and not arguments.get("training")
    same = all(grid_of(source) == grid_of(node) for source in inputs)
    if node.target is _aten.cat.default:
        arguments = _arguments(node)
        return same and len(inputs) == len(arguments["tensors"]) and arguments["dim"] == 1
    beside = [constants[source] for source in node.all_input_nodes if source in constants]
    return same and node.target in _ELEMENTWISE and all(map(_is_even, beside))


def _is_even(value: Any) -> bool:
    """Whether a constant beside maps ``(N, C, H, W)`` is the same at every place."""
    shape = tuple(value.shape)
    return bool(value.numel() == 1 or (len(shape) > 2 and shape[-2:] == (1, 1)))


def _slides(node: fx.Node, constants: Mapping[fx.Node, Any]) -> tuple[Sliding, Operation] | None:
    """The kernel of a convolution or a pooling, and its operation on a map that is padded already."""
    known: dict[Any, Callable[..., tuple[Sliding, Operation] | None]] = {
        _aten.convolution.default: _convolution,
        _aten.max_pool2d_with_indices.default: _max_pool,
        _aten.avg_pool2d.default: _average_pool,
    }
    read = known.get(node.target)
    return read(_arguments(node), constants) if read else None


def _convolution(
    arguments: Mapping[str, Any], constants: Mapping[fx.Node, Any]
) -> tuple[Sliding, Operation] | None:
    weight, bias = (constants.get(arguments[name]) for name in ("weight", "bias"))
    if weight is None or arguments["transposed"] or (bias is None) != (arguments["bias"] is None):
        return None
    stride, padding, dilation = (_pair(arguments[name]) for name in ("stride", "padding", "dilation"))
    groups = arguments["groups"]
    return (
        Sliding(_pair(weight.shape[2:]), stride, padding, dilation),
        lambda seen: functional.conv2d(seen[0], weight, bias, stride, 0, dilation, groups),
    )


def _max_pool(
    arguments: Mapping[str, Any], constants: Mapping[fx.Node, Any]
) -> tuple[Sliding, Operation] | None:
    kernel, padding, dilation = (_pair(arguments[name]) for name in ("kernel_size", "padding", "dilation"))
    stride = _pair(arguments["stride"] or kernel)
    return (
        Sliding(kernel, stride, padding, dilation, fill=-torch.inf),
        lambda seen: functional.max_pool2d(seen[0], kernel, stride, 0, dilation),
    )


def _average_pool(
    arguments: Mapping[str, Any], constants: Mapping[fx.Node, Any]
) -> tuple[Sliding, Operation] | None:
    kernel, padding = _pair(arguments["kernel_size"]), _pair(arguments["padding"])
    if arguments["ceil_mode"] or (any(padding) and not arguments["count_include_pad"]):
        return None  # means over fewer pixels at the border
    stride, divisor = _pair(arguments["stride"] or kernel), arguments["divisor_override"]
    return (
        Sliding(kernel, stride, padding),
        lambda seen: functional.avg_pool2d(seen[0], kernel, stride, divisor_override=divisor),
    )


def _arguments(node: fx.Node) -> dict[str, Any]:
    """An operation's arguments by name, its defaults filled in."""
    expected = node.target._schema.arguments  # type: ignore[union-attr]
    given = dict(zip([argument.name for argument in expected], node.args, strict=False))
    return (
        {argument.name: argument.default_value for argument in expected if argument.has_default_value()}
        | given
        | node.kwargs
    )


def _pair(numbers: Iterable[int] | int) -> Grid:
    """One number for both axes, or one for each."""
    both = [numbers] if isinstance(numbers, int) else list(numbers)
    return int(both[0]), int(both[-1])
