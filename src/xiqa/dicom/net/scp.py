"""The server that takes objects in: C-STORE and C-ECHO."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config, evt
from pynetdicom.presentation import PresentationContext, build_context

from xiqa.dicom.net.door import Door, Sender
from xiqa.dicom.net.guard import GuardedServer
from xiqa.dicom.net.instance import Instance
from xiqa.dicom.net.limits import NetLimits
from xiqa.dicom.net.spool import Spool, Stored
from xiqa.errors import NetworkError

__all__ = ["STATUS", "Arrivals", "StoreServer"]

_LOG = logging.getLogger(__name__)
_VERIFICATION = "1.2.840.10008.1.1"
#: deflated: a small data set may grow a thousandfold, so that its length says nothing
_UNREAD = {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}

#: PS3.4 table B.2-1 and PS3.7 annex C
SUCCESS, OUT_OF_RESOURCES, MISMATCH, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xA900, 0xC000
DUPLICATE_UID, INVALID_UID = 0x0111, 0x0117
STATUS = {
    "full": OUT_OF_RESOURCES,
    "disk": OUT_OF_RESOURCES,
    "mismatch": MISMATCH,
    "unreadable": CANNOT_UNDERSTAND,
    "conflict": DUPLICATE_UID,
    "bad_uid": INVALID_UID,
}


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Whom to tell of what arrives; each is called from the sender's thread and must be quick.

    Attributes:
        known: Hash of the content that a UID had whose file may have gone; None for a new one.
        stored: An object lies safe.
        refused: An object or a connection was not taken: a short code and the sender's address.
    """

    known: Callable[[str], str | None] = lambda uid: None
    stored: Callable[[Instance, Stored], None] = lambda instance, stored: None
    refused: Callable[[str, str], None] = lambda code, address: None


class StoreServer:
    """A C-STORE and C-ECHO server in front of a spool.

    Args:
        spool: Where objects are kept.
        title: Own AE title.
        address: Host and port; port 0 takes a free one.
        titles: AE titles it answers to; none means any.
        senders: Who may send; none means anyone.
        limits: How much.
        tls: Server-side context; None for plain connections.
        arrivals: Whom to tell.
        more_classes: SOP classes beyond the standard's storage classes, such as private ones.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        title: str = "XIQA",
        address: tuple[str, int] = ("127.0.0.1", 11112),
        titles: Sequence[str] = (),
        senders: Sequence[Sender] = (),
        limits: NetLimits | None = None,
        tls: ssl.SSLContext | None = None,
        arrivals: Arrivals | None = None,
        more_classes: Sequence[str] = (),
    ) -> None:
        self._spool, self._arrivals = spool, arrivals or Arrivals()
        limits = limits or NetLimits()
        _config.LOG_HANDLER_LEVEL = "none"  # its handlers log names of patients, and cost time
        entity = AE(title)
        entity.maximum_associations = limits.associations
        entity.maximum_pdu_size = limits.pdu_announced
        entity.acse_timeout, entity.dimse_timeout = limits.opening_seconds, limits.message_seconds
        entity.network_timeout = limits.idle_seconds
        self._server = entity.make_server(
            address,
            contexts=_contexts(tuple(more_classes)),
            ssl_context=tls,
            evt_handlers=[(evt.EVT_C_STORE, self._store)],
            server_class=GuardedServer,
            door=Door(limits, titles, senders, self._arrivals.refused),
        )
        entity._servers.append(self._server)  # `shutdown` takes it from there
        self._thread = threading.Thread(target=self._serve, name="xiqa-dicom", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Take objects in, in threads of its own."""
        self._thread.start()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.2)

    def stop(self, patience: float = 5.0) -> None:
        """Take no new association; those that are open get ``patience`` seconds to end."""
        self._server.shutdown()
        for association in self._server.active_associations:
            association.join(patience)
            if association.is_alive():
                association.abort()

    def _store(self, event: Any) -> int:
        """Keep what one C-STORE brings, and answer with the status that says what became of it."""
        address = str(event.assoc.requestor.address)
        try:
            instance = _instance(event, address)
            stored = self._spool.store(instance, self._known(instance.uid))
        except NetworkError as error:
            self._arrivals.refused(error.code, address)
            return STATUS[error.code]
        except Exception:
            _LOG.exception("a C-STORE failed")
            self._arrivals.refused("failed", address)
            return OUT_OF_RESOURCES
        self._arrivals.stored(instance, stored)
        return SUCCESS

    def _known(self, uid: str) -> str | None:
        """What is known of a UID; without the database the spool alone decides."""
        try:
            return self._arrivals.known(uid)
        except Exception:
            _LOG.warning("it cannot be told whether a UID is known")
            return None


def _instance(event: Any, address: str) -> Instance:
    """What a C-STORE request brings."""
    request, requestor = event.request, event.assoc.requestor
    return Instance(
        str(request.AffectedSOPClassUID),
        str(request.AffectedSOPInstanceUID),
        str(event.context.transfer_syntax),
        event.encoded_dataset(include_meta=False),
        source=requestor.ae_title.strip(),
        called=str(requestor.primitive.called_ae_title).strip(),
        address=address,
    )


@cache
def _contexts(more_classes: tuple[str, ...]) -> list[PresentationContext]:
    """What the server takes: every storage class in every encoding whose length is bounded by what came."""
    syntaxes = [syntax for syntax in ALL_TRANSFER_SYNTAXES if syntax not in _UNREAD]
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    contexts = [build_context(name, syntaxes) for name in (*classes, *more_classes)]
    return [*contexts, build_context(_VERIFICATION)]
