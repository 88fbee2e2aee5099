"""An association with another application, and one object stored over it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, build_context, build_role, evt
from pynetdicom.association import Association

from xiqa.dicom.net.answers import Answer
from xiqa.dicom.net.destination import Destination
from xiqa.dicom.net.guard import no_delay
from xiqa.errors import NetworkError

__all__ = ["MAX_PDU", "associated", "status_of", "store"]

#: One association proposes at most so many contexts (PS3.8: odd numbers from 1 to 255).
_MOST_CONTEXTS = 128
#: Bytes that a message part may have, either way.
MAX_PDU = 1 << 17
_config.STORE_SEND_CHUNKED_DATASET = True  # a file goes out as it lies, never decoded


@contextmanager
def associated(
    to: Destination,
    contexts: Sequence[tuple[str, Sequence[str]]],
    *,
    calling: str,
    seconds: float,
    tls: ssl.SSLContext | None = None,
    handlers: Sequence[Any] = (),
    taking: str | None = None,
) -> Iterator[Association]:
    """An association that is released at the end.

    Args:
        to: With whom.
        contexts: Abstract syntaxes that are proposed, each with its transfer syntaxes.
        calling: Own AE title.
        seconds: To wait for the connection and for each answer.
        tls: Client-side context; None for a plain connection.
        handlers: pynetdicom's, of events.
        taking: SOP class that the other side may send back.

    Raises:
        NetworkError: ``no_connection`` or ``refused``.
    """
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = seconds
    entity.network_timeout = entity.connection_timeout = seconds
    association = entity.associate(
        to.host,
        to.port,
        ae_title=to.title,
        contexts=[build_context(name, list(syntaxes)) for name, syntaxes in contexts[:_MOST_CONTEXTS]],
        max_pdu=MAX_PDU,
        tls_args=None if tls is None else (tls, to.host),
        evt_handlers=[(evt.EVT_CONN_OPEN, _opened), *handlers],
        ext_neg=None if taking is None else [build_role(taking, scp_role=True)],
    )
    if not association.is_established:
        raise _not_associated(to, calling, refused=association.is_rejected)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _opened(event: Any) -> None:
    """Small requests leave at once."""
    client = event.assoc.dul.socket.socket
    if client is not None:
        no_delay(client)


def _not_associated(to: Destination, calling: str, *, refused: bool) -> NetworkError:
    return NetworkError(
        f"{to} {'refuses the association' if refused else 'cannot be reached, or breaks off'}",
        code="refused" if refused else "no_connection",
        todo=f"let it know {calling} as a sender" if refused else "see whether it runs, and its address",
    )


def store(association: Association, thing: Dataset | str, uid: str) -> Answer:
    """Send one object, a data set or a file, over an association that may have ended meanwhile."""
    if not association.is_established:
        return Answer(uid, None, "not sent: the association is over")
    try:
        answer = association.send_c_store(thing)
    except ValueError as error:  # no context was accepted for it
        return Answer(uid, None, f"not sent, the receiver does not take it: {error}"[:200])
    except (OSError, RuntimeError, AttributeError) as error:  # no such file, or the association just ended
        return Answer(uid, None, f"not sent: {type(error).__name__}")
    status = status_of(answer)
    if status is None:
        return Answer(uid, None, "the answer did not come")
    return Answer(uid, status, str(answer.get("ErrorComment", "")))


def status_of(answer: Dataset) -> int | None:
    """The status of a response; None where there was none."""
    value = answer.get("Status")
    return None if value is None else int(value)
