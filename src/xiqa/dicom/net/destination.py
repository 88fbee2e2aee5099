"""Whom objects are sent to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from xiqa.errors import ConfigError

__all__ = ["Destination"]

_ADDRESS = re.compile(r"(?P<title>[^@]{1,16})@(?P<host>[^@:\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom to send to.

    Attributes:
        title: The archive's Application Entity title.
        host: Name or address.
        port: TCP port.
    """

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``AE@host:port``.

        Raises:
            ConfigError: The text is no such address.

        >>> Destination.parse("PACS@archive.local:11112")
        Destination(title='PACS', host='archive.local', port=11112)
        """
        match = _ADDRESS.fullmatch(text.strip())
        port = int(match["port"]) if match else 0
        if match is None or not 0 < port < 65536 or not match["title"].strip() or "\\" in match["title"]:
            raise ConfigError("no such DICOM address", expected="AE@host:port", got=text)
        return cls(match["title"].strip(), match["host"].strip("[]"), port)

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"
