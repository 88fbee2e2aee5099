"""Who may come in, and how many at a time."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pydantic import Field, field_validator

from xiqa.config import Section
from xiqa.dicom.net.limits import NetLimits

__all__ = ["Door", "Knock", "Sender"]


class Sender(Section):
    """One who may send.

    Attributes:
        ae: AE title, or ``*`` for any.
        addresses: Addresses or networks (``10.1.0.0/16``) that it may come from; none means anywhere.
    """

    ae: str = Field("*", min_length=1, max_length=16)
    addresses: tuple[str, ...] = ()

    @field_validator("addresses")
    @classmethod
    def _networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            ipaddress.ip_network(value, strict=False)
        return values

    def is_at(self, address: str) -> bool:
        """Whether it may come from an address."""
        here = ipaddress.ip_address(address)
        return not self.addresses or any(
            here in ipaddress.ip_network(network, strict=False) for network in self.addresses
        )

    def is_named(self, title: str) -> bool:
        """Whether it may call itself so."""
        return self.ae in ("*", title)


@dataclass(frozen=True, slots=True)
class Knock:
    """A request for an association: who asks whom, from where."""

    calling: str
    called: str
    address: str


#: (result, source, reason) of an A-ASSOCIATE-RJ, PS3.8 table 9-21
Refusal = tuple[int, int, int]
BUSY: Refusal = (2, 3, 2)
CALLED_UNKNOWN: Refusal = (1, 1, 7)
CALLING_UNKNOWN: Refusal = (1, 1, 3)


class Door:
    """The counts and lists that decide who comes in.

    Args:
        limits: How many.
        titles: AE titles that the server answers to; none means any.
        senders: Who may send; none means anyone.
        refused: Called with a short reason and the address.
    """

    def __init__(
        self,
        limits: NetLimits,
        titles: Sequence[str] = (),
        senders: Sequence[Sender] = (),
        refused: Callable[[str, str], None] = lambda reason, address: None,
    ) -> None:
        self.limits, self.titles, self.senders, self.refused = limits, titles, senders, refused
        self._lock = threading.Lock()
        self._opening: deque[tuple[str, socket.socket]] = deque()
        self._inside: Counter[str] = Counter()

    def knows(self, address: str) -> bool:
        """Whether anyone may come from an address."""
        known = not self.senders or any(sender.is_at(address) for sender in self.senders)
        if not known:
            self.refused("address", address)
        return known

    @contextmanager
    def opening(self, address: str, client: socket.socket) -> Iterator[None]:
        """Count a connection that has not asked yet; where there are too many, the oldest gives way."""
        entry = address, client
        with self._lock:
            self._opening.append(entry)
            given_way = self._surplus(address)
        if given_way is not None:
            self.refused("opening", given_way[0])
            with suppress(OSError):
                given_way[1].shutdown(socket.SHUT_RDWR)  # its thread sees the end and leaves
        try:
            yield
        finally:
            with self._lock, suppress(ValueError):
                self._opening.remove(entry)

    def _surplus(self, address: str) -> tuple[str, socket.socket] | None:
        """The oldest connection from the same address, or of all, when there is one too many."""
        same = [entry for entry in self._opening if entry[0] == address]
        oldest = None
        if len(same) > self.limits.opening_per_address:
            oldest = same[0]
        elif len(self._opening) > self.limits.opening:
            oldest = self._opening[0]
        if oldest is not None:
            self._opening.remove(oldest)
        return oldest

    def refusal(self, knock: Knock) -> Refusal | None:
        """Why a request is refused; None lets it in, and `leave` must follow."""
        refusal = self._unwanted(knock)
        with self._lock:
            if refusal is None and self._inside[knock.address] >= self.limits.associations_per_address:
                refusal = BUSY
            if refusal is None:
                self._inside[knock.address] += 1
        if refusal is not None:
            self.refused("busy" if refusal == BUSY else "title", knock.address)
        return refusal

    def _unwanted(self, knock: Knock) -> Refusal | None:
        if self.titles and knock.called not in self.titles:
            return CALLED_UNKNOWN
        if self.senders and not any(
            sender.is_named(knock.calling) and sender.is_at(knock.address) for sender in self.senders
        ):
            return CALLING_UNKNOWN
        return None

    def leave(self, address: str) -> None:
        """One association of an address has ended."""
        with self._lock:
            self._inside[address] -= 1
            if self._inside[address] <= 0:
                del self._inside[address]
