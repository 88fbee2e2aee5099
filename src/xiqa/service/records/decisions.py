"""What named people decide about images: once, against the version that they saw, and within rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from xiqa.dicom.codes import REJECT_REASONS
from xiqa.errors import XiqaError
from xiqa.service.records.people import MINUTE, Person, Role
from xiqa.service.records.schema import DECIDED, URGENCY, decisions, instances, jobs
from xiqa.service.records.store import Store

__all__ = ["Choice", "Decisions", "NotAllowedError", "StaleError", "overrides"]

_LONGEST = 1000  # characters of a note
_NEEDS_WORDS = "111215"  # "other than grid or detector": says nothing by itself


class NotAllowedError(XiqaError):
    """A decision that the rules do not allow."""


class StaleError(XiqaError):
    """A decision on something that another person has changed meanwhile."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose.

    Attributes:
        uid: SOP Instance UID of the image.
        version: Of the image's row, as the person saw it.
        action: ``accept`` or ``reacquire``.
        reason: A code value of CID 7011; needed to take the image again.
        note: In the person's words; needed against the model's verdict.
    """

    uid: str
    version: int
    action: str
    reason: str = ""
    note: str = ""


def overrides(verdict: str, action: str) -> bool:
    """Whether an action goes against a verdict; one that leaves the choice to a person cannot be overridden.

    >>> overrides("reacquire", "accept"), overrides("review", "accept")
    (True, False)
    """
    return verdict in ("accept", "reacquire") and verdict != action


class Decisions:
    """Takes decisions back and forth.

    Args:
        store: Where they are kept.
        reasons: Codes of CID 7011 that a person can choose.
        receivers: Peers that are told of rejected images.
        undo_minutes: For how long a decision can be undone; receivers are told after that.
    """

    def __init__(
        self, store: Store, reasons: Sequence[str], receivers: Sequence[str], undo_minutes: float = 10
    ) -> None:
        self._store, self.reasons, self._receivers = store, tuple(reasons), tuple(receivers)
        self.undo_seconds = undo_minutes * MINUTE

    def decide(self, choice: Choice, person: Person) -> int:
        """Keep a decision with its audit row and the jobs that tell archives of it: all or nothing.

        Returns:
            The image's new version.

        Raises:
            NotAllowedError: The person's role, a missing reason or note, or no such image.
            StaleError: Someone was first.
        """
        self._check(choice, person)
        now = self._store.clock.now()
        with self._store.database.writing() as connection:
            self._store.database.serialise(connection)
            row = self._row(connection, choice.uid)
            override = overrides(row["verdict"], choice.action)
            if override and not choice.note.strip():
                raise NotAllowedError("a decision against the model's verdict needs a note")
            if row["decision"]:
                raise StaleError("the image has been decided already", got=self._who(connection, row["id"]))
            self._move(connection, row, choice.version, choice.action, now)
            self._keep(connection, row, person, choice, override, now)
            if choice.action == "reacquire":
                self._tell_archives(connection, row["id"], now)
            detail = f"decided: {choice.action} {choice.reason}".rstrip() + (
                " (override)" if override else ""
            )
            self._told(connection, row["uid"], choice.action, person, detail)
        return choice.version + 1

    def undo(self, uid: str, version: int, person: Person) -> int:
        """Take the decision in force back; the image is undecided again.

        Returns:
            The image's new version.

        Raises:
            NotAllowedError: Too late, of another person, told to an archive, or there is none.
            StaleError: Someone was first.
        """
        now = self._store.clock.now()
        with self._store.database.writing() as connection:
            self._store.database.serialise(connection)
            row = self._row(connection, uid)
            latest = self._latest(connection, row["id"])
            if not row["decision"] or latest is None:
                raise NotAllowedError("there is no decision to undo")
            if latest["person_id"] != person.id and person.role < Role.LEAD:
                raise NotAllowedError("only a lead undoes what another person decided")
            if now - latest["at"] > self.undo_seconds:
                raise NotAllowedError(
                    "the time to undo is over", expected=f"{self.undo_seconds / 60:g} minutes"
                )
            self._hold_back(connection, row["id"])
            self._move(connection, row, version, "", now)
            self._keep(connection, row, person, Choice(uid, version, "undo"), False, now)
            self._told(connection, uid, "undo", person, f"undone: {latest['action']} of {latest['person']}")
        return version + 1

    def of(self, instance_id: int) -> list[dict[str, Any]]:
        """All that was decided about an image, in order."""
        statement = select(decisions).where(decisions.c.instance_id == instance_id).order_by(decisions.c.id)
        with self._store.database.reading() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def _check(self, choice: Choice, person: Person) -> None:
        if person.role < Role.TECHNOLOGIST:
            raise NotAllowedError("the role may look and not decide", got=person.role.word)
        if choice.action not in ("accept", "reacquire"):
            raise NotAllowedError("no such action", expected="accept or reacquire", got=choice.action)
        if len(choice.note) > _LONGEST:
            raise NotAllowedError("the note is too long", expected=f"up to {_LONGEST} characters")
        rejecting = choice.action == "reacquire"
        if rejecting and choice.reason not in self.reasons:
            raise NotAllowedError("taking the image again needs a reason from the list")
        if not rejecting and choice.reason:
            raise NotAllowedError("a reason for rejection does not go with accepting the image")
        if choice.reason == _NEEDS_WORDS and not choice.note.strip():
            raise NotAllowedError(f"{REJECT_REASONS[_NEEDS_WORDS].meaning}: say in a note what it is")

    def _row(self, connection: Connection, uid: str) -> dict[str, Any]:
        row = connection.execute(select(instances).where(instances.c.uid == uid)).mappings().first()
        if row is None:
            raise NotAllowedError("no such image")
        return dict(row)

    def _move(
        self, connection: Connection, row: dict[str, Any], version: int, decision: str, now: float
    ) -> None:
        """From one version to the next; exactly one of several who try at once does it."""
        changed = (
            update(instances)
            .where(instances.c.id == row["id"], instances.c.version == version)
            .values(
                version=version + 1,
                decision=decision,
                decided=now if decision else None,
                urgency=DECIDED if decision else URGENCY[row["verdict"]],
            )
        )
        if connection.execute(changed).rowcount != 1:
            raise StaleError("the image has changed since the page was opened", todo="look at it again")

    def _keep(
        self,
        connection: Connection,
        row: dict[str, Any],
        person: Person,
        choice: Choice,
        override: bool,
        now: float,
    ) -> None:
        values = {
            "instance_id": row["id"],
            "version": choice.version + 1,
            "action": choice.action,
            "reason": choice.reason,
            "note": choice.note.strip(),
            "person_id": person.id,
            "person": person.full_name,
            "verdict": row["verdict"],
            "override": override,
            "at": now,
        }
        connection.execute(insert(decisions).values(**values))

    def _tell_archives(self, connection: Connection, number: int, now: float) -> None:
        """Jobs that are due once the decision cannot be undone any more; a second decision revives them."""
        self._store.queue.add(connection, [number], [("reject", peer) for peer in self._receivers])
        mine = (jobs.c.instance_id == number, jobs.c.kind == "reject")
        values = {
            "state": "waiting",
            "due": now + self.undo_seconds,
            "tries": 0,
            "problem": "",
            "updated": now,
        }
        connection.execute(update(jobs).where(*mine).values(**values))

    def _hold_back(self, connection: Connection, number: int) -> None:
        """Withdraw the jobs; where one is under way or done the archive may know."""
        mine = (jobs.c.instance_id == number, jobs.c.kind == "reject")
        waiting = update(jobs).where(*mine, jobs.c.state.in_(("waiting", "dead")))
        connection.execute(waiting.values(state="dropped", updated=self._store.clock.now()))
        under_way = select(jobs.c.id).where(*mine, jobs.c.state.in_(("leased", "done")))
        if connection.execute(under_way).first() is not None:
            raise NotAllowedError("an archive has been told, or is being told, of the rejection")

    def _latest(self, connection: Connection, number: int) -> dict[str, Any] | None:
        statement = select(decisions).where(decisions.c.instance_id == number).order_by(decisions.c.id.desc())
        row = connection.execute(statement.limit(1)).mappings().first()
        return None if row is None else dict(row)

    def _who(self, connection: Connection, number: int) -> str:
        latest = self._latest(connection, number)
        return "" if latest is None else f"{latest['action']} by {latest['person']}"

    def _told(self, connection: Connection, uid: str, action: str, person: Person, detail: str) -> None:
        self._store.tell(connection, "decided", uid, {"action": action})
        self._store.trail.note(connection, "activity", uid, actor=person.name, detail=detail)
