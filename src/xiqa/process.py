"""How a process of its own deals with the machine: memory that was used is kept, threads that wait sleep."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Stopped", "keep_freed_memory", "stop_on_signals", "undisturbed", "wait_asleep"]

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # the options' numbers in glibc's malloc.h
_CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end, as Ctrl-C does.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def stop_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the process as Ctrl-C does, so that it puts in order what it has done.

    A signal that someone ignores or handles already, as under ``nohup``, is left alone.
    """

    def stop(number: int, frame: object) -> None:
        raise Stopped(number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, stop)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Do something to its end: SIGINT, SIGTERM and SIGHUP are ignored meanwhile (in the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
