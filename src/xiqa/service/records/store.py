"""What the node knows: instances, their verdicts and results, and where those have been delivered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, insert, select, update

from xiqa.service.records.audit import Entry, Trail
from xiqa.service.records.clock import Clock
from xiqa.service.records.database import Database
from xiqa.service.records.jobs import Job, Queue
from xiqa.service.records.schema import (
    DECIDED,
    URGENCY,
    audit,
    deliveries,
    events,
    instances,
    jobs,
    results,
    switches,
)

__all__ = ["Store", "StoredResult", "Verdict"]


@dataclass(frozen=True, slots=True)
class StoredResult:
    """One result object that lies in the spool.

    Attributes:
        kind: ``sr``, ``sc``, ``pr``, ``kos``, ...
        uid: SOP Instance UID.
        sop_class: SOP Class UID.
        path: Relative to the spool.
    """

    kind: str
    uid: str
    sop_class: str
    path: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an assessment ends with, as the node keeps it.

    Attributes:
        verdict: ``accept``, ``reacquire``, ``review`` or ``not_assessed``.
        reason: In one sentence.
        probability: Of poor quality.
        model_hash: Of the model.
        rule: Name of the rule that chose it.
        problem: What is suspected, as the model calls it.
        assessment: All of it, as JSON.
        results: The objects made of it.
    """

    verdict: str
    reason: str
    probability: float | None = None
    model_hash: str = ""
    rule: str = ""
    problem: str = ""
    assessment: str | None = None
    results: tuple[StoredResult, ...] = ()


class Store:
    """The database with the node's words for it.

    Args:
        database: Already at this version's schema.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = Clock(_latest(database))
        self.queue = Queue(database, self.clock)
        self.trail = Trail(database, self.clock)

    # instances

    def known(self, uid: str) -> str | None:
        """Hash of the content that a UID stands for."""
        with self.database.reading() as connection:
            found = connection.execute(select(instances.c.sha256).where(instances.c.uid == uid)).scalar()
        return None if found is None else str(found)

    def add_instances(
        self, rows: Sequence[Mapping[str, Any]], wanted: Sequence[tuple[str, str]]
    ) -> list[str]:
        """Make rows and jobs of what lies in the spool; the UIDs that stand for another content already.

        What is there already stays as it is, so that the same file may be told of any number of times.
        """
        with self.database.writing() as connection:
            self.database.serialise(connection)  # before any row is locked, or two could wait for each other
            added = self._insert(connection, rows)
            fresh = [next(row for row in rows if row["uid"] == uid) for uid in added]
            self.queue.add(connection, list(added.values()), wanted)
            self._tell_all(
                connection, [("received", row["uid"], {"modality": row.get("modality", "")}) for row in fresh]
            )
            self.trail.note_all(
                connection,
                [Entry("transfer", row["uid"], actor=row.get("source") or "sender") for row in fresh],
            )
            hashes = self._hashes(connection, [row["uid"] for row in rows if row not in fresh])
        return [row["uid"] for row in rows if hashes.get(row["uid"], row["sha256"]) != row["sha256"]]

    def _insert(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """Add rows whose UID is new; their numbers by UID."""
        if not rows:
            return {}
        statement = self.database.insert(instances).on_conflict_do_nothing(index_elements=["uid"])
        answer = connection.execute(statement.returning(instances.c.id, instances.c.uid), list(rows))
        return {uid: int(number) for number, uid in sorted(tuple(row) for row in answer)}

    def _hashes(self, connection: Connection, uids: Sequence[str]) -> dict[str, str]:
        """The content that each UID stands for."""
        if not uids:
            return {}
        statement = select(instances.c.uid, instances.c.sha256).where(instances.c.uid.in_(uids))
        return {row.uid: row.sha256 for row in connection.execute(statement)}

    def instance(self, number: int) -> dict[str, Any]:
        """The row of an instance by its number."""
        with self.database.reading() as connection:
            row = connection.execute(select(instances).where(instances.c.id == number)).mappings().one()
        return dict(row)

    def find(self, uid: str) -> dict[str, Any] | None:
        """An instance with its results and deliveries; None where there is none."""
        with self.database.reading() as connection:
            row = connection.execute(select(instances).where(instances.c.uid == uid)).mappings().first()
            if row is None:
                return None
            number = row["id"]
            return dict(row) | {
                table.name: [
                    dict(part)
                    for part in connection.execute(
                        select(table).where(table.c.instance_id == number).order_by(table.c.id)
                    ).mappings()
                ]
                for table in (results, deliveries, jobs)
            }

    def recent(self, most: int = 100, before: int | None = None) -> list[dict[str, Any]]:
        """The latest instances, newest first."""
        statement = select(instances).order_by(instances.c.id.desc()).limit(most)
        if before is not None:
            statement = statement.where(instances.c.id < before)
        with self.database.reading() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def uids(self, wanted: Sequence[str]) -> set[str]:
        """Which of some UIDs have a row."""
        with self.database.reading() as connection:
            return set(
                connection.execute(select(instances.c.uid).where(instances.c.uid.in_(wanted))).scalars()
            )

    # results and deliveries

    def assessed(
        self, job: Job, verdict: Verdict, then: Sequence[tuple[str, str]], *, dead: bool = False
    ) -> float:
        """Keep a verdict and its results, end its job and make those that deliver it: all or nothing.

        Args:
            job: The leased job.
            verdict: To keep.
            then: Jobs (kind, peer) to make.
            dead: Leave the job to a person, because the image kills whoever looks at it.

        Returns:
            When the instance was received.

        Raises:
            LeaseLostError: Another worker has the job by now; nothing is kept.
        """
        now = self.clock.now()
        with self.database.writing() as connection:
            if dead:
                self.queue.give_up(connection, job, verdict.reason, verdict.verdict)
            else:
                self.queue.finish(connection, job, status=verdict.verdict)
            uid, received = self._set_verdict(connection, job.instance_id, verdict, now)
            for result in verdict.results:
                values = {name: getattr(result, name) for name in StoredResult.__slots__}
                connection.execute(insert(results).values(instance_id=job.instance_id, created=now, **values))
            self.queue.add(connection, [job.instance_id], then)
            self.tell(connection, "assessed", uid, _public(verdict))
            self.trail.note(connection, "activity", uid, detail=f"assessed: {verdict.verdict}")
        return received

    def _set_verdict(
        self, connection: Connection, number: int, verdict: Verdict, now: float
    ) -> tuple[str, float]:
        values = {name: getattr(verdict, name) for name in Verdict.__slots__ if name != "results"}
        urgency = case((instances.c.decision != "", DECIDED), else_=URGENCY[verdict.verdict])
        changed = (
            update(instances)
            .where(instances.c.id == number)
            .values(assessed=now, urgency=urgency, **values)
            .returning(instances.c.uid, instances.c.received)
        )
        row = connection.execute(changed).one()
        return str(row.uid), float(row.received)

    def results_of(self, instance_id: int) -> list[StoredResult]:
        """The result objects of an instance."""
        columns = [results.c[name] for name in StoredResult.__slots__]
        statement = select(*columns).where(results.c.instance_id == instance_id).order_by(results.c.id)
        with self.database.reading() as connection:
            return [StoredResult(*row) for row in connection.execute(statement)]

    def result_paths(self) -> set[str]:
        """Where all result objects lie."""
        with self.database.reading() as connection:
            return set(connection.execute(select(results.c.path)).scalars())

    def taken(self, instance_id: int, peer: str) -> dict[str, str]:
        """What a peer has taken of an instance: UID to outcome."""
        statement = select(deliveries.c.uid, deliveries.c.outcome).where(
            deliveries.c.instance_id == instance_id, deliveries.c.peer == peer
        )
        with self.database.reading() as connection:
            return {row.uid: row.outcome for row in connection.execute(statement)}

    def delivered(
        self, connection: Connection, job: Job, uid: str, status: str, outcome: str = "taken"
    ) -> None:
        """Note what a peer said of an object."""
        row = {
            "instance_id": job.instance_id,
            "uid": uid,
            "peer": job.peer,
            "status": status,
            "outcome": outcome,
            "at": self.clock.now(),
        }
        statement = self.database.insert(deliveries).values(**row)
        changed = {name: row[name] for name in ("status", "outcome", "at")}
        connection.execute(statement.on_conflict_do_update(index_elements=["uid", "peer"], set_=changed))
        self.tell(connection, outcome, uid, {"peer": job.peer, "status": status})
        good = outcome in ("taken", "confirmed")
        self.trail.note(
            connection,
            "transfer",
            uid,
            outcome="success" if good else "failure",
            detail=f"{job.peer}: {outcome} ({status})",
        )

    # events, switches, times

    def tell(self, connection: Connection, kind: str, uid: str, content: Mapping[str, Any]) -> None:
        """Add an event, in the transaction of what it tells of; readers see events in order and miss none."""
        self._tell_all(connection, [(kind, uid, content)])

    def _tell_all(
        self, connection: Connection, happened: Sequence[tuple[str, str, Mapping[str, Any]]]
    ) -> None:
        if not happened:
            return
        self.database.serialise(connection)
        now = self.clock.now()
        rows = [
            {"at": now, "kind": kind, "uid": uid, "content": json.dumps(content)}
            for kind, uid, content in happened
        ]
        connection.execute(insert(events), rows)

    def events_after(self, number: int, most: int = 500) -> list[dict[str, Any]]:
        """Events behind the one with a number."""
        statement = select(events).where(events.c.id > number).order_by(events.c.id).limit(most)
        with self.database.reading() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def last_event(self) -> int:
        """Number of the latest event, 0 where there is none."""
        with self.database.reading() as connection:
            return int(connection.execute(select(func.max(events.c.id))).scalar() or 0)

    def switch(self, name: str, value: str, actor: str = "node") -> None:
        """Set a switch, such as ``assessing`` to ``off``."""
        with self.database.writing() as connection:
            statement = self.database.insert(switches).values(name=name, value=value)
            connection.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_={"value": value})
            )
            self.tell(connection, "switch", "", {"name": name, "value": value})
            self.trail.note(connection, "activity", name, actor=actor, detail=f"switched to {value}")

    def switched(self, name: str, default: str = "on") -> str:
        """How a switch stands."""
        with self.database.reading() as connection:
            found = connection.execute(select(switches.c.value).where(switches.c.name == name)).scalar()
        return default if found is None else str(found)

    def note(self, action: str, subject: str, **more: str) -> None:
        """Add a row to the audit trail by itself."""
        with self.database.writing() as connection:
            self.trail.note(connection, action, subject, **more)


def _latest(database: Database) -> float:
    """The latest time on record."""
    with database.reading() as connection:
        times = [
            connection.execute(select(func.max(column))).scalar() or 0.0
            for column in (jobs.c.updated, audit.c.at, events.c.at)
        ]
    return float(max(times))


def _public(verdict: Verdict) -> dict[str, Any]:
    """What an event tells of a verdict."""
    return {
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "probability": verdict.probability,
        "rule": verdict.rule,
    }
