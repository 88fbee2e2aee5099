"""A client of an archive that speaks DICOMweb: STOW-RS, QIDO-RS and WADO-RS."""

from __future__ import annotations

import json
import re
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xiqa.dicom.net.answers import Answer, File
from xiqa.dicom.net.instance import Instance, split_part10
from xiqa.errors import NetworkError

__all__ = ["WebArchive", "parts_of"]

_FAILED, _TAKEN = "00081198", "00081199"
_UID, _REASON, _WARNING = "00081155", "00081197", "00081196"


@dataclass(frozen=True, slots=True)
class WebArchive:
    """A DICOMweb server.

    Attributes:
        url: Its root, such as ``https://archive/dicom-web``.
        headers: Sent with each request, such as an ``Authorization``.
        tls: Client-side context; None for the system's.
        seconds: How long to wait for each of its answers.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = None
    seconds: float = 30.0

    def send(self, files: list[File]) -> list[Answer]:
        """See `xiqa.dicom.net.answers.Archive`; one request a file, so that no answer is about several."""
        return [self._send(file) for file in files]

    def _send(self, file: File) -> Answer:
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        try:
            body = head + Path(file.path).read_bytes() + f"\r\n--{boundary}--\r\n".encode()
            headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
            code, _, content = self._ask("/studies", headers, body)
        except (NetworkError, OSError) as error:
            return Answer(file.uid, None, str(error))
        return _stow_answer(file.uid, code, content)

    def echo(self) -> str:
        """See `xiqa.dicom.net.answers.Archive`."""
        try:
            code, _, _ = self._ask("/studies?limit=1", {"Accept": "application/dicom+json"})
        except NetworkError as error:
            return str(error)
        return "" if code in (200, 204) else f"it answered {code}"

    def has(self, wanted: Instance, study: str, series: str) -> bool:
        """See `xiqa.dicom.net.answers.Archive`."""
        query = f"/instances?StudyInstanceUID={study}&SOPInstanceUID={wanted.uid}"
        code, _, content = self._ask(query, {"Accept": "application/dicom+json"})
        if code not in (200, 204):
            raise NetworkError("the query was not answered", code="unanswered", got=str(code))
        return code == 200 and wanted.uid.encode() in content

    def fetch(self, wanted: Instance, study: str, series: str) -> Instance | None:
        """See `xiqa.dicom.net.answers.Archive`."""
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        path = f"/studies/{study}/series/{series}/instances/{wanted.uid}"
        code, kind, content = self._ask(path, {"Accept": accept})
        if code == 404:
            return None
        if code != 200:
            raise NetworkError("the object was not given back", code="unanswered", got=str(code))
        return next((split_part10(part) for part in parts_of(content, kind)), None)

    def _ask(
        self, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, str, bytes]:
        """Status, content type and content of an answer.

        Raises:
            NetworkError: ``unreachable``.
        """
        request = urllib.request.Request(
            self.url.rstrip("/") + path, data=body, headers={**self.headers, **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=self.seconds, context=self.tls) as answer:
                return answer.status, answer.headers.get("Content-Type", ""), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Content-Type", ""), error.read()
        except (OSError, ValueError) as error:
            raise NetworkError(
                f"{self.url} does not answer", code="unreachable", got=str(error)[:200]
            ) from error


def _stow_answer(uid: str, code: int, content: bytes) -> Answer:
    """What a STOW-RS answer says of one object; a plain success that does not name the object is none."""
    try:
        answer = json.loads(content)
    except ValueError:
        answer = {}
    for row in _items(answer, _FAILED):
        if _value(row, _UID) in (uid, None):
            reason = int(_value(row, _REASON) or 0xC000)
            return Answer(uid, reason)
    for row in _items(answer, _TAKEN):
        if _value(row, _UID) == uid:
            return Answer(uid, int(_value(row, _WARNING) or 0))
    busy = code in (408, 429) or code >= 500
    return Answer(uid, None if busy or code < 400 else 0xC000, f"answered {code} without naming the object")


def _items(answer: Any, tag: str) -> list[dict[str, Any]]:
    values = answer.get(tag, {}).get("Value", []) if isinstance(answer, dict) else []
    return [item for item in values if isinstance(item, dict)]


def _value(item: dict[str, Any], tag: str) -> Any:
    values = item.get(tag, {}).get("Value", [])
    return values[0] if values else None


def parts_of(content: bytes, kind: str) -> list[bytes]:
    """The parts of a multipart body, by its content type.

    Raises:
        NetworkError: ``unreadable``: it has no boundary, or is not put together as it should be.
    """
    match = re.search(r'boundary=(?:"([^"]{1,70})"|([^";,\s]{1,70}))', kind)
    if not kind.lower().startswith("multipart/") or not match:
        raise NetworkError("this is no multipart body", code="unreadable", got=kind[:100])
    line = b"--" + (match.group(1) or match.group(2)).encode("ascii", "replace")
    pieces = (b"\r\n" + content).split(b"\r\n" + line)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise NetworkError("the multipart body has no end", code="unreadable")
    parts = []
    for piece in pieces[1:-1]:
        _, gap, part = piece.partition(b"\r\n\r\n")
        if not gap:
            raise NetworkError("a part has no end of its head", code="unreadable")
        parts.append(part)
    return parts
