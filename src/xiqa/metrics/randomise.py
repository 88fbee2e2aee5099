"""A network with random parameters for a while: how they are drawn, and how they are put back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from xiqa.errors import MetricError
from xiqa.saliency.state import evaluating

__all__ = ["How", "parametrised", "randomised"]

#: ``reset``: as the layer's own initialisation draws them; ``shuffle``: the trained values in random order.
How = Literal["reset", "shuffle"]


def parametrised(network: nn.Module, image: Tensor) -> list[str]:
    """Names of the modules with parameters or buffers of their own, in the order in which they are called.

    Args:
        network: Any network.
        image: ``(C, H, W)``, run once to see the order; modules that are not called are left out.
    """
    names = {module: name for name, module in network.named_modules() if _tensors(module)}
    called: dict[str, None] = {}
    handles = [
        module.register_forward_pre_hook(lambda module, _: called.setdefault(names[module]))
        for module in names
    ]
    try:
        with evaluating(network), torch.no_grad():
            network(image[None])
    finally:
        for handle in handles:
            handle.remove()
    return list(called)


def _tensors(module: nn.Module) -> list[Tensor]:
    """The module's own parameters and buffers, running statistics included."""
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


@contextmanager
def randomised(
    network: nn.Module, names: Sequence[str], *, seed: int = 0, how: How = "reset"
) -> Iterator[None]:
    """Random parameters in the named modules; afterwards every value is back, whatever happens.

    Each module draws from a seed of its own, which depends on its name: two layers of one shape differ, and a
    layer is the same whichever others are drawn. Batch norm is drawn like the rest: affine parameters and
    running statistics. The global random state is left alone.

    Args:
        network: The network; its tensors keep their identity.
        names: Modules, for ``get_submodule``; parts of them are not included.
        seed: Seed of all draws.
        how: ``reset`` or ``shuffle``. Modules without an initialisation of their own are shuffled.

    Raises:
        MetricError: ``how`` or a module is not known.
    """
    if how not in ("reset", "shuffle"):
        raise MetricError("unknown way to randomise", expected="'reset' or 'shuffle'", got=repr(how))
    known = dict(network.named_modules())
    unknown = [name for name in names if name not in known]
    if unknown:
        raise MetricError("unknown layers", expected="names of the network's modules", got=", ".join(unknown))
    modules = [(name, known[name]) for name in names]
    saved = [(tensor, tensor.detach().clone()) for _, module in modules for tensor in _tensors(module)]
    try:
        with torch.random.fork_rng(), torch.no_grad():
            for name, module in modules:
                sequence = np.random.SeedSequence([seed, *name.encode()])
                torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]) >> 1)
                _draw(module, how)
        yield
    finally:
        with torch.no_grad():
            for tensor, values in saved:
                tensor.copy_(values)


def _draw(module: nn.Module, how: How) -> None:
    reset = getattr(module, "reset_parameters", None)
    if how == "reset" and callable(reset):
        reset()
        return
    for tensor in _tensors(module):
        if tensor.is_floating_point():
            places = torch.randperm(tensor.numel()).to(tensor.device)
            tensor.copy_(tensor.flatten()[places].view_as(tensor))
