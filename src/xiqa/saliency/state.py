"""Leaving a network as it was found."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

__all__ = ["evaluating"]


@contextmanager
def evaluating(network: object) -> Iterator[None]:
    """Every submodule in evaluation mode, and each back in its own mode afterwards, whatever happens."""
    modules: list[nn.Module] = list(getattr(network, "modules", list)())
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
