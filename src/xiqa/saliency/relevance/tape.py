"""A tape: every tensor operation of one real forward pass, with the values it read and wrote.

Symbolic tracing stops at data-dependent control flow, and module hooks see neither functional calls nor
reused modules. The tape listens where PyTorch dispatches its operators, so it sees all of them, in-place
ones too, as some forty primitive operations whatever the network's code looks like.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from xiqa.errors import SaliencyError, UnsupportedOperationError
from xiqa.saliency.outputs import checked_logits
from xiqa.saliency.relevance.operations import CREATING
from xiqa.saliency.state import evaluating

if TYPE_CHECKING:
    from types import FrameType

    from xiqa.saliency.relevance.affine import Affine

__all__ = ["Node", "Ref", "Tape", "record"]


@dataclass(frozen=True, slots=True)
class Ref:
    """One output of one node."""

    node: int
    output: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of the forward pass.

    Attributes:
        index: Place on the tape; node 0 is the input.
        name: Name of the operation, without overload and in-place mark (``convolution``, ``add``).
        call: The out-of-place operator, to be called again with other operands.
        args: Its arguments; a `Ref` stands for a tensor that depends on the input.
        kwargs: Its keyword arguments, likewise.
        inputs: The references among the arguments, in order.
        outputs: What it wrote; None for what is not a floating-point tensor.
        module: Name and type of the module that called it.
        affine: The weighted layer it stands for, after `canonise`.
        indices: The positions that a pooling chose.
        whole: Its arguments once more where it reads masks of the input, a `Ref` for each of these too.
        shape: Of the first thing it wrote.
    """

    index: int
    name: str
    call: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[Ref, ...]
    outputs: list[Tensor | None]
    module: str
    affine: Affine | None = None
    indices: Tensor | None = None
    whole: tuple[Any, Any] | None = None
    shape: tuple[int, ...] | None = None

    @property
    def output(self) -> Tensor:
        """The first thing it wrote."""
        value = self.outputs[0]
        assert value is not None
        return value


@dataclass
class Tape:
    """The operations of one forward pass in their order."""

    nodes: list[Node] = field(default_factory=list)
    logits: Ref = Ref(0)
    layers: dict[str, Ref] = field(default_factory=dict)

    def value(self, ref: Ref) -> Tensor:
        """The tensor a reference stands for."""
        value = self.nodes[ref.node].outputs[ref.output]
        assert value is not None
        return value

    def consumers(self) -> Counter[int]:
        """How often each node's outputs are read, by operations or as a result."""
        readers = Counter(ref.node for node in self.nodes for ref in node.inputs)
        readers.update(ref.node for ref in (self.logits, *self.layers.values()))
        return readers


@dataclass(slots=True)
class _Known:
    """A tensor that depends on the input (kept, so that ids stay unique), its place and its version."""

    tensor: Tensor
    place: Ref
    version: int = 0


class Recorder(TorchDispatchMode):
    """Writes a tape while a network runs; only what depends on the input is written."""

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tape = Tape()
        self._names = {id(module): (name, module) for name, module in network.named_modules()}
        self._known: dict[int, _Known] = {}
        self._fresh: list[_Known] = []
        self._masks: dict[int, tuple[Tensor, Ref]] = {}
        self._overwritten: set[int] = set()
        self._add("input", None, (), {}, [], [images])

    def place(self, tensor: Tensor) -> Ref | None:
        """Where a tensor was written; None when it does not depend on the input."""
        # PyTorch counts an operation's writes after it has returned from here, so versions are read now
        while self._fresh:
            known = self._fresh.pop()
            known.version = known.tensor._version
        entry = self._known.get(id(tensor))
        if entry is None:
            if tensor.untyped_storage()._cdata in self._overwritten:
                raise self._alias_error()
            return None
        if tensor._version != entry.version:
            raise self._alias_error()
        return entry.place

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operator and write it down."""
        kwargs = kwargs or {}
        inputs: list[Ref] = []

        def refer(value: Any) -> Any:
            place = self.place(value) if isinstance(value, Tensor) else None
            if place is None:
                return value
            inputs.append(place)
            return place

        seen_args, seen_kwargs = tree_map(refer, args), tree_map(refer, kwargs)
        whole = self._whole(args, kwargs)
        if not (inputs or whole) or func.overloadpacket.__name__ in CREATING:
            return func(*args, **kwargs)
        written = _written(func, args, kwargs)
        for tensor in written:
            self._keep_old(tensor)
        result = func(*args, **kwargs)
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        call = _out_of_place(func) if written else func
        if call is None:
            raise UnsupportedOperationError(
                f"the operation {func} in {self._module()} writes in place and has no out-of-place form"
            )
        self._overwritten.update(tensor.untyped_storage()._cdata for tensor in written)
        for tensor in written:
            self._masks.pop(id(tensor), None)
        name = func.overloadpacket.__name__.removesuffix("_" if written else "")
        self._add(name, call, seen_args, seen_kwargs, inputs, outputs, whole)
        return result

    def _whole(self, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """The arguments with references for masks as well; None where there is no mask among them."""
        changed = False

        def refer(value: Any) -> Any:
            nonlocal changed
            mask = self._masks.get(id(value)) if isinstance(value, Tensor) else None
            if mask is not None:
                changed = True
                return mask[1]
            place = self.place(value) if isinstance(value, Tensor) else None
            return value if place is None else place

        both = (tree_map(refer, args), tree_map(refer, kwargs))
        return both if changed else None

    def _add(
        self,
        name: str,
        call: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        inputs: list[Ref],
        outputs: list[Any],
        whole: tuple[Any, Any] | None = None,
    ) -> None:
        index = len(self.tape.nodes)
        constant = whole is not None and not inputs  # made of masks alone: it has no slope
        kept = [
            o if isinstance(o, Tensor) and o.is_floating_point() and not constant else None for o in outputs
        ]
        chosen = next((o for o in outputs if isinstance(o, Tensor) and o.dtype == torch.int64), None)
        first = outputs[0] if outputs and isinstance(outputs[0], Tensor) else None
        shape = None if first is None else tuple(first.shape)
        self.tape.nodes.append(
            Node(
                index,
                name,
                call,
                args,
                kwargs,
                tuple(inputs),
                kept,
                self._module(),
                None,
                chosen,
                whole,
                shape,
            )
        )
        if first is not None and (constant or not first.is_floating_point()):
            self._masks[id(first)] = (first, Ref(index))
        for i, output in enumerate(kept):
            if output is not None:
                self._known[id(output)] = _Known(output, Ref(index, i))
                self._fresh.append(self._known[id(output)])

    def _keep_old(self, tensor: Tensor) -> None:
        """Put a copy on the tape in the place of a tensor that is about to be overwritten."""
        known = self._known.get(id(tensor))
        if known is not None:
            self.tape.nodes[known.place.node].outputs[known.place.output] = tensor.clone()

    def _module(self) -> str:
        """Name and type of the innermost module that is running.

        Read from the call stack, which needs no hook on the network and sees only this thread.
        """
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            name = self._names.get(id(frame.f_locals.get("self")))
            if name is not None:
                return f"module {name[0] or '(root)'!r} ({type(name[1]).__name__})"
            frame = frame.f_back
        return "the network"

    def _alias_error(self) -> UnsupportedOperationError:
        return UnsupportedOperationError(
            f"{self._module()} reads a tensor that was changed through a view of it",
            todo="write the in-place assignment out of place",
        )


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The arguments that an operator overwrites."""
    schema = func._schema
    if not schema.is_mutable:
        return []
    slots = zip(schema.arguments, args, strict=False)
    named = ((a, kwargs[a.name]) for a in schema.arguments if a.name in kwargs)
    return [v for a, v in (*slots, *named) if a.alias_info is not None and a.alias_info.is_write]


def _out_of_place(func: Any) -> Any:
    """The operator that does the same without overwriting (``add_`` -> ``add``); None if there is none."""
    packet = getattr(torch.ops.aten, func.overloadpacket.__name__.removesuffix("_"), None)
    overload = getattr(packet, func._overloadname, None)
    return None if overload is func else overload


@contextmanager
def _primitive_attention() -> Iterator[None]:
    """Let attention run as matrix products and a softmax instead of one fused kernel."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def record(network: nn.Module, images: Tensor, layers: tuple[str, ...] = ()) -> Tape:
    """Run a network once in evaluation mode and keep every operation that depends on the images.

    Args:
        network: Left as it was found, also when it raises.
        images: ``(N, C, H, W)``.
        layers: Names of modules whose outputs are to be found again (`Tape.layers`).

    Returns:
        The tape; its values are the network's own, not copies.

    Raises:
        UnsupportedOperationError: A tensor is changed through a view and read again.

    >>> tape = record(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.ones(1, 2))
    >>> [node.name for node in tape.nodes]
    ['input', 'addmm', 'relu']
    """
    if images.dim() == 4 and images.dtype == torch.float32 and images.device.type == "cpu":
        # convolutions on the processor are quicker with the channels innermost, unless the network forbids it
        try:
            return _run(network, images.detach().clone(memory_format=torch.channels_last), layers)
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
    return _run(network, images.detach().clone(), layers)


def _run(network: nn.Module, images: Tensor, layers: tuple[str, ...]) -> Tape:
    """One recorded pass; the images are the tape's own."""
    recorder = Recorder(network, images)
    with ExitStack() as undo:
        for name in layers:
            undo.callback(_watch(network, name, recorder).remove)
        with evaluating(network), torch.no_grad(), _primitive_attention(), recorder:
            logits = network(images)
    if not isinstance(logits, Tensor):
        checked_logits(logits, len(images))
    place = recorder.place(logits) if isinstance(logits, Tensor) else None
    if place is None:
        raise SaliencyError(
            "the network's output cannot be explained",
            expected="one tensor of logits that depends on the images",
            got=type(logits).__name__,
        )
    recorder.tape.logits = place
    return recorder.tape


def _watch(network: nn.Module, name: str, recorder: Recorder) -> Any:
    """Note the place of one module's output, at the moment it returns."""
    here = threading.get_ident()

    def note(module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() != here:
            return  # another thread uses the same network
        place = recorder.place(output) if isinstance(output, Tensor) else None
        if place is None:
            raise SaliencyError(f"layer {name!r} has no tensor output that depends on the images")
        recorder.tape.layers[name] = place

    return network.get_submodule(name).register_forward_hook(note)
