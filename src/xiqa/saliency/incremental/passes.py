"""Many images of which each differs little from another: only what changes passes the early layers.

Each network is traced once into a graph of pure operations. Where the images differ in a window, the output
of an early layer differs in a window too, a little larger by what its kernels see; its other places have the
values that they had. So windows pass the early layers, in batches, and whole maps only what is behind: the
idea of nakandala2019incremental, in its exact form. Nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

from xiqa.saliency.incremental.rules import Rule, grid_of, rule_of, whole
from xiqa.saliency.incremental.windows import ChangingMap, Windows, differences, layout_of
from xiqa.saliency.probe import CACHED, TorchProbe
from xiqa.saliency.state import evaluating

__all__ = ["IncrementalProbe"]

_LARGEST = 0.7
"""Share of a map up to which windows are cut out of it."""
_FEWEST = 4
"""Images that are worth a look at their differences."""
_SMALLEST = 96 * 96
"""Pixels of an image that is."""
_LEAST_SHARE = 0.2
"""Share of the network's multiplications that windows have to spare: cutting them out costs time too."""
_BATCH = 16
"""Whole maps that pass the layers behind at once, or nearly: there they are small, and the weights large.

On one thread PyTorch passes fewer than 16 through kernels of one place by a slower way."""


class IncrementalProbe:
    """A `TorchProbe` for images of which each differs in a small window from another.

    Logits agree with those of whole images up to rounding. From the first operation on that is not known, or
    that mixes all places, whole maps pass; where that spares too little, where the windows are large, where
    the network cannot be traced, and on other devices than the processor, whole images.

    Args:
        probe: Passes whole images.
        image: What all images of a call are changed from, ``(C, H, W)``; without it each is compared with
            the one before it, as in a perturbation curve.
    """

    def __init__(self, probe: TorchProbe, image: Tensor | None = None) -> None:
        self.probe, self.image = probe, image
        self.agrees = False

    def __call__(self, images: Tensor) -> Tensor:
        """Logits ``(M, K)`` of images ``(M, C, H, W)``; see `xiqa.saliency.probe.Probe`."""
        count, _, rows, columns = images.shape
        if count < _FEWEST or rows * columns < _SMALLEST or images.device.type != "cpu":
            return self.probe(images)
        every = images if self.image is None else torch.cat([self.image[None], images])
        logits = self._in_windows(self.probe.arranged(every))
        if logits is None:
            return self.probe(images)
        return logits if self.image is None else logits[1:]

    def _in_windows(self, images: Tensor) -> Tensor | None:
        """Logits by windows, or None where that is not possible or spares nothing."""
        cumulative = self.image is None
        grid = (images.shape[-2], images.shape[-1])
        for some in (images[:2], images):  # where all differ widely the first two tell it
            windows = differences(some, cumulative=cumulative)
            if windows.share(grid) > _LARGEST / 2:
                return None
        with evaluating(self.probe.model), torch.inference_mode(False), torch.no_grad():
            graph = _traced(self.probe.model, images[:1], batch := _batch(len(images)))
        if graph is None:
            return None
        with torch.inference_mode():
            plan = _Plan(graph, windows, batch)
            if plan.spares < _LEAST_SHARE:
                return None
            logits = torch.cat(list(plan.run(images, cumulative=cumulative)))
        if not self.agrees:  # a change in what is no parameter would go unseen
            self.agrees = _agree(logits[:1], self.probe(images[:1]))
        return logits if self.agrees else None


def _batch(count: int) -> int:
    """How many maps to pass at once so that the last batch is as full as the others, or nearly.

    >>> _batch(4), _batch(32), _batch(33)
    (4, 16, 17)
    """
    return -(-count // max(1, round(count / _BATCH)))


def _agree(found: Tensor, expected: Tensor) -> bool:
    """Whether logits are the same up to rounding."""
    return torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


class _Plan:
    """Which operations windows pass, and the rest of the network as a function of their outputs.

    Args:
        graph: The traced network.
        windows: Where the images differ.
        batch: How many images the graph takes.
    """

    def __init__(self, graph: fx.GraphModule, windows: Windows, batch: int) -> None:
        self.batch = batch
        nodes = list(graph.graph.nodes)
        self.image = next(node for node in nodes if node.op == "placeholder")
        self.constants = _constants(graph)
        self.windows, self.rules = {self.image: windows}, list[Rule]()
        for node in nodes:
            rule = rule_of(node, self.windows, self.constants) if node.op == "call_function" else None
            if rule is not None and rule.windows.share(grid_of(node)) <= _LARGEST:
                self.windows[node] = rule.windows
                self.rules.append(rule)
        self.edges = [node for node in self.windows if any(user not in self.windows for user in node.users)]
        self.rest = _rest(graph, self.edges, set(self.windows))

    @property
    def spares(self) -> float:
        """Share of the network's multiplications that windows do not need."""
        counts = {node: _multiplications(node, self.constants) for node in self.image.graph.nodes}
        spared = sum(counts[rule.node] * (1 - rule.windows.share(grid_of(rule.node))) for rule in self.rules)
        return spared / max(1, sum(counts.values()))

    def run(self, images: Tensor, *, cumulative: bool) -> Iterator[Tensor]:
        """Logits of the images, a few at a time."""
        maps = self._keep(images[:1], cumulative=cumulative)
        rows, columns = self.windows[self.image].size
        several = max(1, min(64, CACHED // (rows * columns)) // self.batch) * self.batch
        for start in range(0, len(images), several):
            part = slice(start, min(start + several, len(images)))
            yield from self._pass(images, part, maps)

    def _keep(self, image: Tensor, *, cumulative: bool) -> list[ChangingMap]:
        """Pass one whole image, and keep the maps of which more is needed than what changes."""
        values = {self.image: image}
        for rule in self.rules:
            rule.keep(values, cumulative=cumulative)
            values[rule.node] = whole(rule.node, values, self.constants)
        return [ChangingMap(values[node], cumulative=cumulative) for node in self.edges]

    def _pass(self, images: Tensor, part: slice, maps: list[ChangingMap]) -> Iterator[Tensor]:
        """Pass some images' windows, then their maps in batches."""
        rows, columns = self.windows[self.image].size
        corners = self.windows[self.image].corners[part].tolist()
        places = zip(images[part], corners, strict=True)
        cut = torch.stack([padded[:, y : y + rows, x : x + columns] for padded, (y, x) in places])
        changed = {self.image: cut.to(memory_format=layout_of(images))}
        for rule in self.rules:
            changed[rule.node] = rule(changed, part)
        for start in range(0, part.stop - part.start, self.batch):
            few = slice(start, min(start + self.batch, part.stop - part.start))
            yield self._finish(changed, few, part.start, maps)

    def _finish(
        self, changed: dict[fx.Node, Tensor], few: slice, first: int, maps: list[ChangingMap]
    ) -> Tensor:
        """Put the windows of a batch into whole maps, and pass these through the rest of the network."""
        count = few.stop - few.start
        corners = np.zeros((count, 2), np.intp)
        given = []
        for node, kept in zip(self.edges, maps, strict=True):
            at = self.windows[node].corners[first + few.start : first + few.stop]
            full = kept.cut(changed[node][few], at, corners, grid_of(node))
            missing = self.batch - count
            given.append(torch.cat([full, full[:1].expand(missing, -1, -1, -1)]) if missing else full)
        logits: Tensor = self.rest(*given)
        return logits[:count]


def _rest(graph: fx.GraphModule, edges: list[fx.Node], done: set[fx.Node]) -> fx.GraphModule:
    """What is left of a graph as a function of the outputs of some of its nodes."""
    rest = fx.Graph()
    copies = {node: rest.placeholder(node.name) for node in edges}
    for node in graph.graph.nodes:
        if node not in done:
            copies[node] = rest.node_copy(node, lambda source: copies[source])
    rest.eliminate_dead_code()
    return fx.GraphModule(graph, rest)


def _constants(graph: fx.GraphModule) -> dict[fx.Node, Any]:
    """The values of the nodes that hang on no image."""
    known: dict[fx.Node, Any] = {}
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            known[node] = attrgetter(str(node.target))(graph)
        elif node.op == "call_function" and all(source in known for source in node.all_input_nodes):
            args, kwargs = fx.map_arg((node.args, node.kwargs), known.__getitem__)
            known[node] = node.target(*args, **kwargs)
    return known


def _multiplications(node: fx.Node, constants: Mapping[fx.Node, Any]) -> int:
    """Multiplications of one image in a convolution or a fully connected layer; 0 for others."""
    if node.target is torch.ops.aten.convolution.default and node.args[1] in constants:
        rows, columns = grid_of(node)
        return rows * columns * int(constants[node.args[1]].numel())  # type: ignore[index]
    if node.target in (torch.ops.aten.addmm.default, torch.ops.aten.mm.default):
        left, right = (source.meta["val"].shape for source in node.args[-2:])  # type: ignore[union-attr]
        return int(left.numel() * right[1])
    return 0


_Key = tuple[object, ...]
_known: WeakKeyDictionary[nn.Module, dict[_Key, tuple[_Key, fx.GraphModule | None]]] = WeakKeyDictionary()


def _traced(network: nn.Module, image: Tensor, batch: int) -> fx.GraphModule | None:
    """The network's graph for batches of images like this one, or None. Kept with the network.

    Weights that change in place are seen by the graph; where others take their place it is made again.
    """
    layout = layout_of(image)
    kind: _Key = (batch, image.shape, image.dtype, layout)
    weights: _Key = tuple(map(id, [*network.parameters(), *network.buffers()]))
    graphs = _known.setdefault(network, {})
    if kind not in graphs or graphs[kind][0] != weights:
        images = image.expand(batch, -1, -1, -1).clone(memory_format=layout)
        graphs[kind] = weights, _trace(network, images)
    return graphs[kind][1]


def _trace(network: nn.Module, images: Tensor) -> fx.GraphModule | None:
    try:
        tracer = make_fx(functionalize(network), tracing_mode="fake", _allow_non_fake_inputs=True)
        graph = tracer(images)
    except (RuntimeError, TypeError, ValueError, AssertionError):  # its way hangs on the image, for one
        return None
    graph.graph.eliminate_dead_code()
    return graph
