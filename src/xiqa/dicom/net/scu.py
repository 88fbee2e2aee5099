"""A client of another DICOM application: C-STORE, C-ECHO, C-FIND and C-GET."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    Verification,
)

from xiqa.dicom.net.answers import Answer, File
from xiqa.dicom.net.guard import no_delay
from xiqa.dicom.net.instance import Instance
from xiqa.errors import NetworkError

__all__ = ["DicomArchive"]

_PENDING = (0xFF00, 0xFF01)
_WARNINGS = (0x0000, 0xB000)
_PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


@dataclass(frozen=True, slots=True)
class DicomArchive:
    """Another application entity.

    Attributes:
        title: Its AE title.
        host: Its address.
        port: Its port.
        calling: Our own AE title.
        tls: Client-side context; None for plain connections.
        seconds: How long to wait for each of its answers.
    """

    title: str
    host: str
    port: int
    calling: str = "XIQA"
    tls: ssl.SSLContext | None = None
    seconds: float = 30.0

    def send(self, files: list[File]) -> list[Answer]:
        """See `xiqa.dicom.net.answers.Archive`; files are sent as they lie, never decoded or transcoded."""
        _config.STORE_SEND_CHUNKED_DATASET = True
        kinds = sorted({(file.sop_class, file.transfer_syntax) for file in files})[:128]
        try:
            with self._associated([(name, [syntax]) for name, syntax in kinds]) as association:
                return [_store(association, file) for file in files]
        except NetworkError as error:
            return [Answer(file.uid, None, str(error)) for file in files]

    def echo(self) -> str:
        """See `xiqa.dicom.net.answers.Archive`."""
        try:
            with self._associated([(str(Verification), list(_PLAIN))]) as association:
                status = _status(association.send_c_echo())
        except NetworkError as error:
            return str(error)
        return "" if status == 0 else f"it answered {status}"

    def has(self, wanted: Instance, study: str, series: str) -> bool:
        """See `xiqa.dicom.net.answers.Archive`."""
        query = _query(wanted.uid, study, series)
        model = str(StudyRootQueryRetrieveInformationModelFind)
        with self._associated([(model, list(_PLAIN))]) as association:
            answers = association.send_c_find(query, model)
            responses = _responses(answers)
        return any(str(row.get("SOPInstanceUID", "")) == wanted.uid for row in responses)

    def fetch(self, wanted: Instance, study: str, series: str) -> Instance | None:
        """See `xiqa.dicom.net.answers.Archive`."""
        query = _query(wanted.uid, study, series)
        model = str(StudyRootQueryRetrieveInformationModelGet)
        contexts = [(model, list(_PLAIN)), (wanted.sop_class, [wanted.transfer_syntax])]
        copies: list[Instance] = []

        def keep(event: Any) -> int:
            copies.append(_copy(event))
            return 0

        with self._associated(contexts, [(evt.EVT_C_STORE, keep)], wanted.sop_class) as association:
            _responses(association.send_c_get(query, model))
        return next((copy for copy in copies if copy.uid == wanted.uid), None)

    @contextmanager
    def _associated(
        self,
        contexts: list[tuple[str, list[str]]],
        handlers: list[Any] | None = None,
        taking: str | None = None,
    ) -> Iterator[Association]:
        """An association that is released at the end.

        Raises:
            NetworkError: ``unreachable`` or ``refused``.
        """
        entity = AE(self.calling)
        entity.acse_timeout = entity.dimse_timeout = self.seconds
        entity.network_timeout = entity.connection_timeout = self.seconds
        for name, syntaxes in contexts:
            entity.add_requested_context(name, syntaxes)
        association = entity.associate(
            self.host,
            self.port,
            ae_title=self.title,
            tls_args=None if self.tls is None else (self.tls, self.host),
            evt_handlers=[(evt.EVT_CONN_OPEN, _opened), *(handlers or [])],
            ext_neg=None if taking is None else [build_role(taking, scp_role=True)],
        )
        if not association.is_established:
            raise self._not_associated(association)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _not_associated(self, association: Association) -> NetworkError:
        refused = association.is_rejected
        return NetworkError(
            f"{self.title} at {self.host}:{self.port} {'refuses' if refused else 'gives no'} association",
            code="refused" if refused else "unreachable",
            todo="see its list of known senders" if refused else "see whether it runs and can be reached",
        )


def _opened(event: Any) -> None:
    """Small requests leave at once."""
    client = event.assoc.dul.socket.socket
    if client is not None:
        no_delay(client)


def _store(association: Association, file: File) -> Answer:
    """Send one file in an association that may have ended meanwhile."""
    if not association.is_established:
        return Answer(file.uid, None, "the association ended before this object")
    try:
        status = _status(association.send_c_store(file.path))
    except ValueError:
        kind = UID(file.transfer_syntax).name
        return Answer(file.uid, None, f"the receiver does not take this kind of object encoded as {kind}")
    except (OSError, RuntimeError, AttributeError) as error:
        return Answer(file.uid, None, f"it could not be sent: {type(error).__name__}")
    problem = "the association ended without an answer" if status is None else ""
    answer = Answer(file.uid, status, problem)
    return answer if answer.taken or problem else Answer(file.uid, status, f"refused with {answer.word}")


def _status(answer: Dataset) -> int | None:
    """The status of a response; None where there was none."""
    value = answer.get("Status")
    return None if value is None else int(value)


def _query(uid: str, study: str, series: str) -> Dataset:
    """A question about one object."""
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID, query.SeriesInstanceUID, query.SOPInstanceUID = study, series, uid
    return query


def _responses(answers: Iterator[tuple[Dataset, Dataset | None]]) -> list[Dataset]:
    """What a query finds.

    Raises:
        NetworkError: ``unanswered``: it failed.
    """
    matches: list[Dataset] = []
    status: int | None = None
    for answer, row in answers:
        status = _status(answer)
        if status in _PENDING and row is not None:
            matches.append(row)
    if status not in _WARNINGS:
        raise NetworkError("the query was not answered", code="unanswered", got=str(status))
    return matches


def _copy(event: Any) -> Instance:
    """What the other application sends back."""
    request = event.request
    return Instance(
        str(request.AffectedSOPClassUID),
        str(request.AffectedSOPInstanceUID),
        str(event.context.transfer_syntax),
        event.encoded_dataset(include_meta=False),
    )
