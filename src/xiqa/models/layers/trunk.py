"""The layers through which everything passes, found in the graph of one pass.

A layer is on the *trunk* when every path from the image to the network's output runs through it: no one of
several parallel branches, no inside of a residual block. The graph tells it: as many paths run through it as
there are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.utils._pytree import tree_leaves

__all__ = ["Seen", "survey"]

_PRIME = 2**61 - 1  # paths are counted modulo this


@dataclass(frozen=True, eq=False)
class Seen:
    """One module's output in the pass of one image.

    Attributes:
        name: Name of the module.
        module: The module.
        output: What it gave.
        grad: Gradient of the network's output there; None where nothing of it arrives.
        trunk: Whether all that the network says of the image passes here.
    """

    name: str
    module: nn.Module
    output: Tensor
    grad: Tensor | None
    trunk: bool


def survey(network: nn.Module, image: Tensor) -> list[Seen]:
    """All modules that give one tensor that the image moves, in the order in which they end.

    Args:
        network: In evaluation mode.
        image: ``(1, C, H, W)``.
    """
    kept: list[tuple[str, nn.Module, Tensor]] = []
    heads: list[Tensor] = []
    here = threading.get_ident()

    def keeper(name: str) -> Callable[..., Tensor | None]:
        def keep(module: nn.Module, args: Any, output: Any) -> Tensor | None:
            if threading.get_ident() != here or not isinstance(output, Tensor) or not output.requires_grad:
                return None
            if isinstance(module, nn.Linear) and isinstance(args[0], Tensor):
                heads[:] = [args[0]]
            kept.append((name, module, output.clone()))  # a copy: what follows may write in place
            return kept[-1][2].clone()

        return keep

    modules = [
        (name, module)
        for name, module in network.named_modules()
        if name and not isinstance(module, ScriptModule)  # a compiled module takes no hook
    ]
    handles = [module.register_forward_hook(keeper(name)) for name, module in modules]
    leaf = image.detach().clone().requires_grad_()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            score = _score(network(leaf))
    finally:
        for handle in handles:
            handle.remove()
    if score is None or not kept:
        return []
    outputs = [output for _, _, output in kept]
    grads = torch.autograd.grad(score, outputs, retain_graph=True, allow_unused=True)
    before = _score(heads)
    if before is not None and not any(grad is not None and grad.dim() > 2 and grad.any() for grad in grads):
        # a head that starts at zero, as torchvision's transformers do: what it reads counts
        score, grads = before, torch.autograd.grad(before, outputs, retain_graph=True, allow_unused=True)
    on_trunk = _dominators(score.grad_fn, leaf)
    last = {name: place for place, (name, _, _) in enumerate(kept)}  # a module counts at its last call
    return [
        Seen(name, module, output.detach(), grads[place], output.grad_fn in on_trunk)
        for place, (name, module, output) in enumerate(kept)
        if last[name] == place
    ]


def _score(output: Any) -> Tensor | None:
    """One number that depends on all that the network gives, whatever that looks like."""
    plain = dict(output) if hasattr(output, "items") else output  # Hugging Face's outputs are no plain dicts
    leaves = [leaf for leaf in tree_leaves(plain) if isinstance(leaf, Tensor) and leaf.requires_grad]
    source = torch.Generator().manual_seed(0)
    parts = [(leaf * torch.randn(leaf.shape, generator=source).to(leaf)).sum() for leaf in leaves]
    return torch.stack(parts).sum() if parts else None


def _dominators(root: Any, leaf: Tensor) -> set[Any]:
    """The nodes of a graph on every path from its root to a leaf."""
    order = _ordered(root)
    to_leaf: dict[Any, int] = {}
    for node in order:  # what comes later in the graph first
        ends = getattr(node, "variable", None) is leaf
        ways = (to_leaf[after] for after, _ in node.next_functions if after is not None)
        to_leaf[node] = 1 if ends else sum(ways) % _PRIME
    from_root = dict.fromkeys(order, 0) | {root: 1}
    for node in reversed(order):
        for after, _ in node.next_functions:
            if after is not None:
                from_root[after] = (from_root[after] + from_root[node]) % _PRIME
    total = to_leaf[root]
    return {node for node in order if total and from_root[node] * to_leaf[node] % _PRIME == total}


def _ordered(root: Any) -> list[Any]:
    """The nodes of a graph, each after all that it leads to."""
    order, seen, waiting = [], set(), [(root, False)]
    while waiting:
        node, done = waiting.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting += [(after, False) for after, _ in node.next_functions if after is not None]
    return order
