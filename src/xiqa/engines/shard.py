"""One of several equal parts of the work, which need not know of each other."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self, TypeVar

from xiqa.errors import ConfigError
from xiqa.imaging.series import Series

__all__ = ["Shard"]

_TEXT = re.compile(r"(\d{1,6})/(\d{1,6})")
_Item = TypeVar("_Item", bound=str | Series)


@dataclass(frozen=True, slots=True)
class Shard:
    """The ``index``-th of ``count`` parts.

    An item belongs to part ``1 + SHA-256(path) mod count``, with the path as it was named: the same command
    cuts the same way on every machine, whatever else lies in the folders and however they are listed.

    Attributes:
        index: From 1 to ``count``.
        count: How many parts there are.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``i/n``.

        Raises:
            ConfigError: The text is no such part.

        >>> Shard.parse("3/8")
        Shard(index=3, count=8)
        """
        match = _TEXT.fullmatch(text.strip())
        index, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= index <= count:
            raise ConfigError(
                "no such part of the work", expected="i/n with i from 1 to n, such as 3/8", got=text
            )
        return cls(index, count)

    def takes(self, path: str) -> bool:
        """Whether an item belongs to this part.

        >>> [Shard(part, 3).takes("images/a.png") for part in (1, 2, 3)].count(True)
        1
        """
        digest = hashlib.sha256(os.fsencode(path)).digest()
        return int.from_bytes(digest, "big") % self.count == self.index - 1

    def of(self, items: Iterable[_Item]) -> list[_Item]:
        """The items of this part; a series goes where the first of its paths, by name, belongs."""
        return [item for item in items if self.takes(_name(item))]


def _name(item: str | Series) -> str:
    return min(map(str, item.paths)) if isinstance(item, Series) else item
