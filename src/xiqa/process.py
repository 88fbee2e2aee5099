"""How a process of its own deals with the machine: memory that was used is kept, threads that wait sleep."""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["keep_freed_memory", "wait_asleep"]

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # the options' numbers in glibc's malloc.h
_CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Keep memory that is freed with the process until its end, on Linux with glibc.

    By default glibc takes each large block from the system and gives it back when it is freed. A layer's
    output is such a block, tens of megabytes of it, so that a network's every pass begins with empty pages
    that the system has to clear first: in batches at 512 x 512 pixels they take longer than the arithmetic
    (``benchmarks/bench_process.py``). The price is that memory once taken stays taken, and about a fifth more
    of it than without: aligned blocks leave gaps, and one block alone that is taken and freed again and again
    (no network does that) comes to lie in eight places before it finds the first again.
    The command line does this; a program of your own calls it once, at its beginning.

    Returns:
        Whether it was done: not on other systems, and not where the environment says how memory is to be
        dealt with (``MALLOC_TRIM_THRESHOLD_`` and its like, ``GLIBC_TUNABLES``).
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _CHOSEN):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))


def wait_asleep() -> None:
    """Let PyTorch's threads sleep while they wait for one another; call it before PyTorch is imported.

    By default a thread that waits keeps its processor busy for milliseconds (GNU OpenMP), which it takes from
    the decoders and writers beside it, and from the very thread it waits for where other programs leave them
    but one processor. The command line does this but for trainings: many small operations of a backward pass
    begin later when their threads have to be woken. Whoever sets ``OMP_WAIT_POLICY`` is left alone.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
