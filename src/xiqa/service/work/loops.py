"""Threads that do one kind of work each, and go on whatever goes wrong."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

__all__ = ["Loop"]

_LOG = logging.getLogger(__name__)


class Loop:
    """A thread that repeats a step.

    Args:
        name: Of the thread.
        step: Does one piece of work; False where there is none.
        every: Seconds between two looks when there is none and nobody wakes it.
        first: Done once, before the first step.
        last: Done once, at the end.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], object],
        *,
        every: float = 1.0,
        first: Callable[[], object] | None = None,
        last: Callable[[], object] | None = None,
    ) -> None:
        self.name, self._step, self._every, self._first, self._last = name, step, every, first, last
        self._woken, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"xiqa-{name}", daemon=True)
        self.failing = ""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There may be work."""
        self._woken.set()

    def stop(self, patience: float = 30.0) -> None:
        """End after the present step, or leave it to its lease."""
        self._stopping.set()
        self.wake()
        self._thread.join(patience)

    def _run(self) -> None:
        if self._first is not None:
            self._guarded(self._first)
        while not self._stopping.is_set():
            self._woken.clear()
            if not self._guarded(self._step):
                self._woken.wait(self._every)
        if self._last is not None:
            self._guarded(self._last)

    def _guarded(self, do: Callable[[], object]) -> bool:
        """Whether a step found work; an error is logged once, and the loop goes on after a rest."""
        try:
            found = bool(do())
        except Exception as error:
            if self.failing != type(error).__name__:
                _LOG.warning("a loop has trouble", extra={"loop": self.name}, exc_info=True)
            self.failing = type(error).__name__
            self._stopping.wait(1.0)
            return False
        self.failing = ""
        return found
