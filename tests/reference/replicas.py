"""Slow replicas by the name of what they replicate: ``@replicates("gradcam")`` above a plain loop.

A registered method or metric is looked up by its name, so that one without a replica is seen
(tests/reference/test_replicas.py), and a test need not know in which file the loop stands.
"""

import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
REPLICAS: dict[str, list[Callable]] = {}


def replicates(*names: str) -> Callable[[Callable], Callable]:
    """Tie a loop to the methods or metrics that it computes, or that are built on what it computes."""

    def tie(function: Callable) -> Callable:
        for name in names:
            REPLICAS.setdefault(name, []).append(function)
        return function

    return tie


@cache
def _load() -> None:
    for path in sorted(HERE.rglob("*.py")):
        if not path.stem.startswith("test_") and path.stem not in ("replicas", "__init__"):
            importlib.import_module(
                ".".join(["tests.reference", *path.relative_to(HERE).with_suffix("").parts])
            )


def replicas() -> dict[str, list[Callable]]:
    """All of them, by name."""
    _load()
    return dict(REPLICAS)


def replica(name: str) -> Callable:
    """The one loop of a name."""
    (function,) = replicas()[name]
    return function
