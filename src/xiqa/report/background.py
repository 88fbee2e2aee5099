"""Writing results while the network works on the next images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

__all__ = ["Background"]


class Background:
    """Runs jobs one after the other in a second thread; an error comes up at the next `submit` or at the end.

    On leaving, also after an error or an interruption, all jobs submitted are finished first.

    Args:
        waiting: How many jobs may wait before `submit` does.

    >>> done = []
    >>> with Background(2) as background:
    ...     background.submit(done.append, 1)
    >>> done
    [1]
    """

    def __init__(self, waiting: int) -> None:
        self._waiting, self._jobs = waiting, deque[Future[Any]]()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="xiqa-write")

    def submit(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Queue a job, and wait for the oldest when too many are waiting."""
        self._jobs.append(self._thread.submit(function, *arguments))
        while self._jobs and (self._jobs[0].done() or len(self._jobs) > self._waiting):
            self._jobs.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if kind is None:
            for job in self._jobs:
                job.result()
