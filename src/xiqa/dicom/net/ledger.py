"""How much memory the messages take that are being received."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Ledger"]


class Ledger:
    """One budget for all messages; the longest gives way when it is spent.

    Args:
        most: Bytes that all messages together may take.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._taken: dict[int, tuple[int, Callable[[], None]]] = {}

    def take(self, key: int, size: int, cut: Callable[[], None]) -> None:
        """Say that the message of ``key`` has ``size`` bytes by now; ``cut`` ends its association."""
        with self._lock:
            self._taken[key] = size, cut
            if self.total() <= self.most:
                return
            longest = max(self._taken, key=lambda other: self._taken[other][0])
            _, cut = self._taken.pop(longest)
        cut()

    def free(self, key: int) -> None:
        """The message of ``key`` has gone."""
        with self._lock:
            self._taken.pop(key, None)

    def total(self) -> int:
        """Bytes taken now."""
        return sum(size for size, _ in self._taken.values())
