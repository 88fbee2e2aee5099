"""A clock for due times and leases that nobody can set back."""

from __future__ import annotations

import time

__all__ = ["Clock"]


class Clock:
    """Seconds since 1970 that only go forward while the process lives.

    The wall clock is looked at once, at the start; from there on seconds are counted. A start after the
    wall clock was set back begins at the latest time that the database has seen, so that nothing waits
    until the wall clock has caught up.

    Args:
        seen: The latest time on record.

    >>> clock = Clock(seen=10_000_000_000.0)
    >>> clock.now() >= 10_000_000_000.0
    True
    """

    def __init__(self, seen: float = 0.0) -> None:
        self._base = max(time.time(), seen) - time.monotonic()

    def now(self) -> float:
        """The time."""
        return self._base + time.monotonic()
