"""What a map costs: passes through the network, and seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xiqa.metrics.arguments import Count, Explain, Picture
from xiqa.metrics.registry import Cases, metric

__all__ = ["Passes", "backward_passes", "counting_passes", "forward_passes", "seconds"]

_CASES: Cases = {"non_finite": "costs what any other does", "constant": "costs what any other does"}


@dataclass
class Passes:
    """How many images went through a network, each way."""

    forward: int = 0
    backward: int = 0


@contextmanager
def counting_passes(network: nn.Module) -> Iterator[Passes]:
    """Count the images that pass while the context lasts, and the gradients that come back to the logits.

    >>> net = nn.Linear(2, 1)
    >>> with counting_passes(net) as passes:
    ...     net(torch.ones(3, 2)).sum().backward()
    >>> passes
    Passes(forward=3, backward=3)
    """
    passes = Passes()

    def after(module: nn.Module, args: Any, logits: Tensor) -> None:
        passes.forward += len(logits)
        if logits.requires_grad:
            logits.register_hook(back)

    def back(gradient: Tensor) -> None:
        passes.backward += len(gradient)

    handle = network.register_forward_hook(after)
    try:
        yield passes
    finally:
        handle.remove()


@metric("forward_passes", "cost", higher_is_better=False, bounds=(0, inf), cases=_CASES)
def forward_passes(network: nn.Module, explain: Explain, image: Picture) -> float:
    """How many images go through the whole network for one map.

    **Pitfalls.** Methods that run only a part of the network again (after a layer), or only what changes in
    the image through its early layers (occlusion), are not counted for that part; the first time such a
    network is traced, with 8 images that are counted. `seconds` counts everything.

    **Variants.** `counting_passes` counts over any piece of code.

    Args:
        network: The network that ``explain`` explains.
        explain: Gives maps ``(N, h, w)`` of images ``(N, C, H, W)``.
        image: ``(C, H, W)`` as the network takes it.

    Returns:
        Number of passes.
    """
    with counting_passes(network) as passes:
        explain(image[None])
    return float(passes.forward)


@metric("backward_passes", "cost", higher_is_better=False, bounds=(0, inf), cases=_CASES)
def backward_passes(network: nn.Module, explain: Explain, image: Picture) -> float:
    """How many gradients go back from the logits for one map.

    **Pitfalls.** A pass that ends at the last stage counts as much as one that goes to the image, and costs
    far less.

    **Variants.** `counting_passes` counts over any piece of code.

    Args:
        network: The network that ``explain`` explains.
        explain: Gives maps ``(N, h, w)`` of images ``(N, C, H, W)``.
        image: ``(C, H, W)`` as the network takes it.

    Returns:
        Number of passes.
    """
    with counting_passes(network) as passes:
        explain(image[None])
    return float(passes.backward)


@metric("seconds", "cost", higher_is_better=False, bounds=(0, inf), cases=_CASES)
def seconds(
    network: nn.Module,
    explain: Explain,
    image: Picture,
    *,
    repeats: Count = 5,
    clock: Literal["wall", "cpu"] = "wall",
) -> float:
    """How long one map takes, the median of several after one that is not counted.

    **Pitfalls.** Wall time depends on the neighbours, the threads and the cache; compare methods in one run,
    taking turns.

    **Variants.** ``clock="cpu"`` adds up the seconds of all of the process's threads.

    Args:
        network: The network that ``explain`` explains.
        explain: Gives maps ``(N, h, w)`` of images ``(N, C, H, W)``.
        image: ``(C, H, W)`` as the network takes it.
        repeats: Timed runs.
        clock: ``wall`` or ``cpu``.

    Returns:
        Seconds an image.
    """
    read = time.perf_counter if clock == "wall" else time.process_time
    explain(image[None])
    times = []
    for _ in range(repeats):
        _finish(image)
        start = read()
        explain(image[None])
        _finish(image)
        times.append(read() - start)
    return median(times)


def _finish(image: Tensor) -> None:
    """Wait for an accelerator, which works on while Python goes ahead."""
    if image.is_cuda:
        torch.cuda.synchronize(image.device)
