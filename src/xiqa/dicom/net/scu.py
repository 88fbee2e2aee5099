"""A client of another DICOM application: C-STORE, C-ECHO, C-FIND and C-GET."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    Verification,
)

from xiqa.dicom.net.answers import Answer, File
from xiqa.dicom.net.association import associated, status_of, store
from xiqa.dicom.net.destination import Destination
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
        to: Its title and address.
        calling: Our own AE title.
        tls: Client-side context; None for plain connections.
        seconds: How long to wait for each of its answers.
    """

    to: Destination
    calling: str = "XIQA"
    tls: ssl.SSLContext | None = None
    seconds: float = 30.0

    def send(self, files: list[File]) -> list[Answer]:
        """See `xiqa.dicom.net.answers.Archive`; files are sent as they lie, never decoded or transcoded."""
        kinds = sorted({(file.sop_class, file.transfer_syntax) for file in files})
        try:
            with self._associated([(name, [syntax]) for name, syntax in kinds]) as association:
                return [store(association, file.path, file.uid) for file in files]
        except NetworkError as error:
            return [Answer(file.uid, None, str(error)) for file in files]

    def echo(self) -> str:
        """See `xiqa.dicom.net.answers.Archive`."""
        try:
            with self._associated([(str(Verification), list(_PLAIN))]) as association:
                status = status_of(association.send_c_echo())
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

        with self._associated(
            contexts, handlers=[(evt.EVT_C_STORE, keep)], taking=wanted.sop_class
        ) as association:
            _responses(association.send_c_get(query, model))
        return next((copy for copy in copies if copy.uid == wanted.uid), None)

    def _associated(
        self, contexts: list[tuple[str, list[str]]], **more: Any
    ) -> AbstractContextManager[Association]:
        return associated(self.to, contexts, calling=self.calling, seconds=self.seconds, tls=self.tls, **more)


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
        status = status_of(answer)
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
