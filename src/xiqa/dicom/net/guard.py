"""pynetdicom's server with bounds on time and memory.

The stock socket waits without end for the rest of a unit that a sender has begun, and keeps all that a
sender sends; ten silent connections keep everyone else out for good. Here a connection becomes an
association only when its request is whole, each unit and message has a deadline and a cap, and no more is
read while the last message has not been dealt with.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Self, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from xiqa.dicom.net.door import Door, Knock
from xiqa.dicom.net.ledger import Ledger

__all__ = ["GuardedHandler", "GuardedServer", "no_delay"]

_LOG = logging.getLogger(__name__)
_HEAD = 6
_P_DATA = 0x04
_ASSOCIATE_RQ = 0x01
_SHORTEST_RQ = 68
_PATIENCE = 0.05  # seconds that an idle association sleeps at a time


def no_delay(client: socket.socket) -> None:
    """Send small answers at once: Nagle's algorithm would hold them back for 40 ms."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Waking(queue.Queue[Any]):
    """A queue whose `put` wakes whoever sleeps on its descriptor."""

    def __init__(self) -> None:
        super().__init__()
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        os.eventfd_write(self.descriptor, 1)

    def slept(self) -> None:
        """Sleep again at the next wait."""
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Let go of the descriptor; nobody may be waiting on it."""
        os.close(self.descriptor)


class GuardedSocket(AssociationSocket):
    """A socket that reads one unit at a time within its deadline and cap.

    Args:
        assoc: The association that reads.
        client: The connection.
        ahead: Bytes that have been read from it already.
        door: The limits.
        ledger: The memory of all messages.
    """

    def __init__(
        self, assoc: Association, client: socket.socket, ahead: bytes, door: Door, ledger: Ledger
    ) -> None:
        super().__init__(assoc, client_socket=client)
        self._ahead = memoryview(ahead)
        self._limits, self._ledger, self._refused = door.limits, ledger, door.refused
        self._body: int | None = None
        self._message = 0
        self._unit_ends = self._message_ends = 0.0
        self._wake = _Waking()
        assoc.dul.to_provider_queue = self._wake
        assoc.dul._run_loop_delay = 0.0001  # `ready` is where this socket's reader sleeps

    @property
    def ready(self) -> bool:
        """Whether a unit can be read; sleeps a little where there is nothing to read or to send."""
        if self.socket is None or not self._is_connected:
            return False
        if self._ahead:
            return True
        busy = bool(self.assoc.dimse.msg_queue.qsize())  # one message at a time: no more is read till then
        if not busy and isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        waiting = select.poll()
        waiting.register(self._wake.descriptor, select.POLLIN)
        if not busy:
            waiting.register(self.socket, select.POLLIN)
        try:
            events = waiting.poll(1 if busy else 1000 * _PATIENCE)
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False
        self._wake.slept()
        return any(descriptor != self._wake.descriptor for descriptor, _ in events)

    def recv(self, nr_bytes: int) -> bytearray:
        """The head of a unit and, asked again, its body.

        Raises:
            OSError: It is too long or too slow; the association ends.
        """
        if self._body is not None:
            self._body = None
            return self._take(nr_bytes)
        self._unit_ends = time.monotonic() + self._limits.pdu_seconds
        head = self._take(_HEAD)
        if len(head) == _HEAD and 1 <= head[0] <= 7:
            self._body = int.from_bytes(head[2:], "big")
            self._check(head[0], self._body)
        return head

    def _take(self, count: int) -> bytearray:
        """``count`` bytes, or fewer where the connection ends."""
        buffer = bytearray(count)
        view = memoryview(buffer)
        have = min(count, len(self._ahead))
        view[:have] = self._ahead[:have]
        self._ahead = self._ahead[have:]
        client = cast("socket.socket", self.socket)
        try:
            while have < count and (got := _some(client, view[have:], self._unit_ends)):
                have += got
        except TimeoutError:
            self._refused("slow", self._address)
            raise
        return buffer if have == count else bytearray(view[:have])

    def _check(self, kind: int, length: int) -> None:
        """Hold a unit that is announced against the caps.

        Raises:
            OSError: It is too long, or its message is too long or too slow.
        """
        if length > (self._limits.request_bytes if kind == _ASSOCIATE_RQ else self._limits.pdu_bytes):
            self._cut("pdu_too_long")
        if kind != _P_DATA:
            return
        now = time.monotonic()
        if self.assoc.dimse.message is None:
            self._message, self._message_ends = 0, now + self._limits.message_seconds
        self._message += length
        if self._message > self._limits.message_bytes:
            self._cut("message_too_long")
        if now > self._message_ends:
            self._cut("message_too_slow")
        self._ledger.take(id(self), self._message, self._give_way)

    def _cut(self, reason: str) -> None:
        self._refused(reason, self._address)
        raise OSError(f"the association is cut: {reason}")

    def _give_way(self) -> None:
        """End this association from another's thread: its message is the longest and memory is short."""
        self._refused("memory", self._address)
        client = self.socket
        if client is not None:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                _LOG.debug("the association had ended already")

    @property
    def _address(self) -> str:
        return str(self.assoc.requestor.address)

    def send(self, bytestream: bytes) -> None:
        """Send within the deadline of a unit; a peer that does not read ends its association."""
        if self.socket is not None:
            self.socket.settimeout(self._limits.pdu_seconds)
        super().send(bytestream)

    def close(self) -> None:
        """Close the connection and give its memory back."""
        self._ledger.free(id(self))
        super().close()

    def leave(self) -> None:
        """The association's thread ends: give back what its reader held."""
        self._ledger.free(id(self))
        reader = self.assoc.dul
        reader.join(2 * self._limits.pdu_seconds)
        if not reader.is_alive():
            self._wake.close()


class GuardedHandler(RequestHandler):
    """One connection: wait for its whole request, ask the door, start the association."""

    server: GuardedServer

    def handle(self) -> None:
        """Turn the connection into an association, or end it."""
        door, address = self.server.door, str(self.client_address[0])
        request: bytes | None
        with door.opening(address, self.request):
            request = self._request(door)
        if request is None:
            door.refused("opening_failed", address)
            self.server.shutdown_request(self.request)
            return
        refusal = door.refusal(_knock(request, address))
        if refusal is not None:
            self._refuse(refusal)
            return
        self._start(request, address)

    def _request(self, door: Door) -> bytes | None:
        """The A-ASSOCIATE-RQ as it came; None where none comes in time."""
        ends = time.monotonic() + door.limits.opening_seconds
        try:
            no_delay(self.request)
            self.request.settimeout(door.limits.opening_seconds)
            self.request = self.server.secured(self.request)
            head = _exactly(self.request, _HEAD, ends)
            length = int.from_bytes(head[2:], "big")
            if head[0] != _ASSOCIATE_RQ or not _SHORTEST_RQ <= length <= door.limits.request_bytes:
                return None
            request = head + _exactly(self.request, length, ends)
        except OSError:
            return None
        return request if _is_sound(request) else None

    def _refuse(self, refusal: tuple[int, int, int]) -> None:
        """Send an A-ASSOCIATE-RJ and end the connection."""
        try:
            self.request.sendall(bytes([3, 0, 0, 0, 0, 4, 0, *refusal]))
        except OSError:
            _LOG.debug("the refused sender had gone")
        self.server.shutdown_request(self.request)

    def _start(self, request: bytes, address: str) -> None:
        """Start the association; it leaves the door when its thread ends."""
        try:
            association = self._create_association()
            association.dul.event_queue.get_nowait()  # of the stock socket; the guarded one tells it again
            guarded = GuardedSocket(association, self.request, request, self.server.door, self.server.ledger)
            association.dul.socket = guarded

            def leave() -> None:
                self.server.door.leave(address)
                guarded.leave()

            association.run = _leaving(association.run, leave)  # type: ignore[method-assign]
            evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
            association.start()
        except BaseException:
            self.server.door.leave(address)
            raise


def _leaving(run: Callable[[], None], leave: Callable[[], None]) -> Callable[[], None]:
    """A thread's work with something to do when it ends, however it ends."""

    def work() -> None:
        try:
            run()
        finally:
            leave()

    return work


def _exactly(client: socket.socket, count: int, ends: float) -> bytes:
    """``count`` bytes before a moment.

    Raises:
        OSError: They do not come.
    """
    buffer = bytearray(count)
    view, have = memoryview(buffer), 0
    while have < count:
        got = _some(client, view[have:], ends)
        if not got:
            raise ConnectionError
        have += got
    return bytes(buffer)


def _some(client: socket.socket, view: memoryview, ends: float) -> int:
    """Read what there is; 0 at the connection's end.

    Raises:
        TimeoutError: Nothing came before the moment ``ends``.
    """
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("it did not arrive in time")
    client.settimeout(left)
    return client.recv_into(view)


def _is_sound(request: bytes) -> bool:
    """Whether a request can be parsed; an association would wait long for a better one."""
    try:
        unit = A_ASSOCIATE_RQ()
        unit.decode(request)
        unit.to_primitive()
    except Exception:  # pynetdicom raises many kinds
        return False
    return True


def _knock(request: bytes, address: str) -> Knock:
    """Who asks whom: two titles of 16 characters at fixed places, PS3.8 table 9-11."""
    called, calling = (request[start : start + 16].decode("ascii", "replace").strip() for start in (10, 26))
    return Knock(calling, called, address)


class _Shared(list[PresentationContext]):
    """Contexts that associations read and none changes: a copy for each takes tens of milliseconds."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class GuardedServer(ThreadedAssociationServer):
    """A server behind a `Door`; its limits hold for all its associations together.

    Args:
        args: See `pynetdicom.transport.AssociationServer`.
        door: Who may come in.
        kwargs: See there.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *args: Any, door: Door, **kwargs: Any) -> None:
        self.door, self.ledger = door, Ledger(door.limits.memory_bytes)
        super().__init__(*args, **{"request_handler": GuardedHandler, **kwargs})
        self.contexts = _Shared(self.contexts)

    def get_request(self) -> tuple[socket.socket, Any]:
        """A new connection; a TLS handshake waits for the connection's own thread."""
        client, address = cast("socket.socket", self.socket).accept()
        return client, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether anyone may come from this address."""
        return self.door.knows(str(client_address[0]))

    def secured(self, client: socket.socket) -> socket.socket:
        """The connection after the TLS handshake, where there is one."""
        return self.ssl_context.wrap_socket(client, server_side=True) if self.ssl_context else client

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that failed before its association is one line in the log."""
        _LOG.warning("a connection could not be served", exc_info=True)
