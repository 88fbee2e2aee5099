"""Sending objects to an archive (Storage SCU), with the archive's own word on each."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from xiqa.errors import ConfigError, MissingDependencyError, NetworkError

if TYPE_CHECKING:
    from pynetdicom.association import Association

__all__ = ["Delivery", "Destination", "send"]

_ADDRESS = re.compile(r"(?P<title>[^@]{1,16})@(?P<host>[^@:\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
#: One association proposes at most so many kinds of object (PS3.8, odd numbers from 1 to 255).
_MOST_CONTEXTS = 128
_PDU = 1 << 17


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


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one object.

    Attributes:
        uid: Its SOP Instance UID.
        status: The archive's status; None where no answer came, so that nobody knows.
        comment: The archive's comment, or what happened instead of an answer.
    """

    uid: str
    status: int | None
    comment: str = ""

    @property
    def stored(self) -> bool:
        """The archive says that it has the object: success, or a warning (Bxxx) that it changed it."""
        return self.status is not None and (self.status == 0 or self.status & 0xF000 == 0xB000)

    def __str__(self) -> str:
        status = "no answer" if self.status is None else f"status {self.status:04X}"
        return f"{status}{': ' if self.comment else ''}{self.comment}"


def send(
    objects: Iterable[Dataset], to: Destination, *, calling: str = "XIQA", timeout: float = 30.0
) -> list[Delivery]:
    """Send objects over one association.

    A status is the archive's, unaltered. An object without an answer may have been stored all the same; since
    the UIDs of results are stable, sending it again does no harm.

    Args:
        objects: Data sets in an uncompressed little-endian encoding.
        to: The archive.
        calling: Own Application Entity title.
        timeout: Seconds to wait for a connection, and for each answer.

    Returns:
        One delivery an object, in their order.

    Raises:
        NetworkError: ``no_connection`` or ``refused``: nothing was sent.
        MissingDependencyError: pynetdicom is not installed.
    """
    objects = list(objects)
    if not objects:
        return []
    association = _associate({UID(ds.SOPClassUID) for ds in objects}, to, calling, timeout)
    try:
        return list(_store(association, objects))
    finally:
        if association.is_established:
            association.release()


def _associate(classes: set[UID], to: Destination, calling: str, timeout: float) -> Association:
    """An association that offers those kinds of object."""
    try:
        from pynetdicom import AE, build_context, evt  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingDependencyError("sending needs pynetdicom", todo='pip install "xiqa[dicom]"') from error
    entity = AE(ae_title=calling)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = timeout
    entity.network_timeout = timeout
    # one context an encoding, so that the objects stay as they are wherever the archive can take them so
    encodings = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    contexts = [build_context(name, encoding) for name in sorted(classes) for encoding in encodings]
    association = entity.associate(
        to.host,
        to.port,
        ae_title=to.title,
        contexts=contexts[:_MOST_CONTEXTS],
        max_pdu=_PDU,
        evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once)],
    )
    if not association.is_established:
        refused = association.is_rejected
        raise NetworkError(
            f"{to} {'refuses the association' if refused else 'cannot be reached, or breaks off'}",
            code="refused" if refused else "no_connection",
            todo=f"let it know {calling} as a sender" if refused else "see whether it runs, and its address",
        )
    return association


def _send_at_once(event: Any) -> None:
    """Small packets do not wait for the answer to the one before (Nagle's algorithm: 40 ms an object)."""
    wrapped = event.assoc.dul.socket
    if wrapped is not None and wrapped.socket is not None:
        wrapped.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _store(association: Association, objects: Iterable[Dataset]) -> Iterator[Delivery]:
    """Store one object after the other; what comes after a broken association was not sent."""
    for ds in objects:
        if not association.is_established:
            yield Delivery(str(ds.SOPInstanceUID), None, "not sent: the association is over")
            continue
        try:
            answer = association.send_c_store(ds)
        except (ValueError, RuntimeError) as error:  # no context accepted, or the association just ended
            yield Delivery(str(ds.SOPInstanceUID), None, f"not sent: {error}"[:200])
            continue
        status = answer.get("Status")
        comment = str(answer.get("ErrorComment", "")) if status is not None else "the answer did not come"
        yield Delivery(str(ds.SOPInstanceUID), status, comment)
