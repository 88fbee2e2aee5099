"""How much one sender may ask of the server."""

from __future__ import annotations

from pydantic import Field

from xiqa.config import Section
from xiqa.imaging.limits import MEGABYTE

__all__ = ["NetLimits"]


class NetLimits(Section):
    """Bounds that keep the server usable for good senders while bad ones try to hold it.

    A connection counts as an association only when its whole A-ASSOCIATE-RQ has arrived; until then it is
    *opening*, which is short and cheap, and the oldest opening one gives way to a new one.

    Attributes:
        opening_seconds: From the connection to the whole request, TLS handshake included.
        pdu_seconds: From the first byte of a protocol data unit to its last.
        message_seconds: From the first fragment of a message to its last.
        idle_seconds: How long an association may be silent.
        request_bytes: The longest A-ASSOCIATE-RQ.
        pdu_announced: The longest unit that senders are asked for.
        pdu_bytes: The longest unit that is taken.
        message_bytes: The longest message.
        memory_bytes: All messages that are being received; beyond it the longest of them is cut.
        associations: At a time, from everyone.
        associations_per_address: At a time, from one address.
        opening: Connections at a time that have not asked for an association yet.
        opening_per_address: Those from one address.
    """

    opening_seconds: float = Field(default=5, gt=0)
    pdu_seconds: float = Field(default=15, gt=0)
    message_seconds: float = Field(default=300, gt=0)
    idle_seconds: float = Field(default=60, gt=0)
    request_bytes: int = Field(default=MEGABYTE, ge=1024)
    pdu_announced: int = Field(default=128 * 1024, ge=4096)
    pdu_bytes: int = Field(default=MEGABYTE, ge=4096)
    message_bytes: int = Field(default=512 * MEGABYTE, ge=MEGABYTE)
    memory_bytes: int = Field(default=1024 * MEGABYTE, ge=MEGABYTE)
    associations: int = Field(default=32, ge=1)
    associations_per_address: int = Field(default=16, ge=1)
    opening: int = Field(default=64, ge=1)
    opening_per_address: int = Field(default=16, ge=1)
