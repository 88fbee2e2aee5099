"""The audit trail: rows that can only be added, each sealed with the hash of the one before.

Whoever changes or removes a row breaks the chain from there on. Whoever can write the whole table can also
make a new chain: keep the head's hash elsewhere (`xiqa serve check` prints it, the log has it too).
Codes are DICOM's CID 400 and 401.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from xiqa.service.records.clock import Clock
from xiqa.service.records.database import Database
from xiqa.service.records.schema import audit

__all__ = ["CODES", "Entry", "Trail", "seal"]

#: action: (code, meaning) of DICOM PS3.16 CID 400 and 401
CODES = {
    "start": ("110120", "Application Start"),
    "stop": ("110121", "Application Stop"),
    "login": ("110122", "Login"),
    "logout": ("110123", "Logout"),
    "access": ("110103", "DICOM Instances Accessed"),
    "transfer": ("110104", "DICOM Instances Transferred"),
    "export": ("110106", "Export"),
    "import": ("110107", "Import"),
    "alert": ("110113", "Security Alert"),
    "roles": ("110136", "Security Roles Changed"),
    "activity": ("110100", "Application Activity"),
}
_ORIGIN = "0" * 64
_SEALED = ("at", "code", "action", "actor", "subject", "outcome", "detail", "previous")


def seal(row: dict[str, Any]) -> str:
    """The hash of a row, its predecessor's hash included."""
    content = json.dumps([row[name] for name in _SEALED], ensure_ascii=True)
    return hashlib.sha256(content.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """What is noted.

    Attributes:
        action: One of `CODES`.
        subject: What it is about: a UID, a name, an address.
        actor: Who did it.
        outcome: ``success`` or ``failure``.
        detail: In words.
    """

    action: str
    subject: str
    actor: str = "node"
    outcome: str = "success"
    detail: str = ""

    def row(self, at: float, previous: str) -> dict[str, Any]:
        """Its row, but for the hash."""
        return {
            "at": at,
            "code": CODES[self.action][0],
            "action": self.action,
            "actor": self.actor[:64],
            "subject": self.subject[:128],
            "outcome": self.outcome,
            "detail": self.detail,
            "previous": previous,
        }


class Trail:
    """The audit trail.

    Args:
        database: Where it is.
        clock: The time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def note(self, connection: Connection, action: str, subject: str, **more: str) -> None:
        """Add a row (see `Entry`), in the transaction of what it tells of; best as its last statement."""
        self.note_all(connection, [Entry(action, subject, **more)])

    def note_all(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Add rows, each sealed with its predecessor's hash."""
        if not entries:
            return
        self._database.serialise(connection)
        now, previous = self._clock.now(), self._head(connection)
        rows = []
        for entry in entries:
            row = entry.row(now, previous)
            rows.append(row | {"hash": (previous := seal(row))})
        connection.execute(insert(audit), rows)

    def _head(self, connection: Connection) -> str:
        latest = select(audit.c.hash).order_by(audit.c.id.desc()).limit(1)
        return str(connection.execute(latest).scalar() or _ORIGIN)

    def head(self) -> str:
        """The latest row's hash."""
        with self._database.reading() as connection:
            return self._head(connection)

    def broken(self) -> int | None:
        """Number of the first row that is not what was written, or does not follow its predecessor."""
        expected = _ORIGIN
        with self._database.reading() as connection:
            for row in connection.execute(select(audit).order_by(audit.c.id)).mappings():
                if row["previous"] != expected or seal(dict(row)) != row["hash"]:
                    return int(row["id"])
                expected = row["hash"]
        return None
