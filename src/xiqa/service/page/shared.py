"""What many pages ask for at the same moment is made once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

__all__ = ["Shared"]

_KEPT = 64
_SECONDS = 10.0  # after which it is made again: some of it depends on the time


class Shared:
    """Keeps texts as long as nothing has changed.

    >>> shared, made = Shared(), []
    >>> for version in (1, 1, 2):
    ...     _ = shared.get("list", version, lambda: str(made.append(version)))
    >>> made
    [1, 2]
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[int, float, str]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, version: int, make: Callable[[], str]) -> str:
        """A text, made where it is not there, is another version, or is old.

        Args:
            key: What it is.
            version: Of what it is made of.
            make: Makes it; one at a time.
        """
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is None or kept[0] != version or time.monotonic() - kept[1] > _SECONDS:
                kept = (version, time.monotonic(), make())
            self._kept[key] = kept
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return kept[2]
