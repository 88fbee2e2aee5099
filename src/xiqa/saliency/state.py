"""Leaving a network as it was found."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

__all__ = ["evaluating"]

_lock = threading.Lock()
#: How many blocks hold a module that was in training mode: the last one to leave puts it back.
_held: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


@contextmanager
def evaluating(network: object) -> Iterator[None]:
    """Every submodule in evaluation mode, and each back in its own mode afterwards, whatever happens.

    Threads may do so with one network at once: it stays in evaluation mode until the last of them is done.
    """
    modules: list[nn.Module] = list(getattr(network, "modules", list)())
    with _lock:
        held = [module for module in modules if module.training or module in _held]
        for module in held:
            _held[module] = _held.get(module, 0) + 1
            module.training = False
    try:
        yield
    finally:
        with _lock:
            for module in held:
                _held[module] -= 1
                if not _held[module]:
                    del _held[module]
                    module.training = True
