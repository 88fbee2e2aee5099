"""The number of the latest event, asked for once for all pages that wait."""

from __future__ import annotations

import asyncio
import time

from fastapi.concurrency import run_in_threadpool

from xiqa.service.records.store import Store

__all__ = ["EVERY", "Latest"]

EVERY = 0.5  # seconds between two looks


class Latest:
    """Looks at the database at most once in a while, however many ask.

    Args:
        store: Where the events are.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._asked, self._number = store, -EVERY, 0
        self._lock = asyncio.Lock()

    async def number(self) -> int:
        """The latest event's number, up to `EVERY` seconds old."""
        async with self._lock:
            if time.monotonic() - self._asked >= EVERY:
                self._number = await run_in_threadpool(self._store.last_event)
                self._asked = time.monotonic()
            return self._number
