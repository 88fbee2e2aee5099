"""Work that waits in rows: leases with fences, due times, tries, dead letters.

A worker leases a job for some seconds and gets a *fence*, a number that grows with each lease. What it
writes at the end it writes in one transaction with the job's new state, and only where the fence is still
its own: a worker that was thought dead and wakes up late changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, case, func, or_, select, true, update

from xiqa.errors import XiqaError
from xiqa.service.records.clock import Clock
from xiqa.service.records.database import Database
from xiqa.service.records.schema import instances, jobs

__all__ = ["KINDS", "Job", "LeaseLostError", "Queue", "delay"]

KINDS = ("forward", "confirm", "assess", "deliver", "reject", "hook")
WAITING, LEASED, DONE, DEAD, DROPPED = "waiting", "leased", "done", "dead", "dropped"
_FIRST_DELAY, _LONGEST_DELAY = 2.0, 900.0


class LeaseLostError(XiqaError):
    """A job that was leased again by another worker, because this one took too long."""


@dataclass(frozen=True, slots=True)
class Job:
    """A leased job.

    Attributes:
        id: Number of its row.
        instance_id: Number of the row of the instance it is about.
        kind: One of `KINDS`.
        peer: Whom it concerns; empty where nobody.
        tries: How often it has been leased, this time included.
        fence: Of this lease.
        created: When it was made.
    """

    id: int
    instance_id: int
    kind: str
    peer: str
    tries: int
    fence: int
    created: float


_COLUMNS = [jobs.c[name] for name in Job.__slots__]


class Queue:
    """All jobs.

    Args:
        database: Where they are.
        clock: The time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def add(
        self, connection: Connection, instance_ids: Sequence[int], wanted: Sequence[tuple[str, str]]
    ) -> None:
        """Make jobs (kind, peer) of instances that these do not have yet."""
        now = self._clock.now()
        rows = [
            {"instance_id": number, "kind": kind, "peer": peer, "due": now, "created": now, "updated": now}
            for number in instance_ids
            for kind, peer in wanted
        ]
        statement = self._database.insert(jobs).on_conflict_do_nothing(
            index_elements=["instance_id", "kind", "peer"]
        )
        if rows:
            connection.execute(statement, rows)

    def lease(
        self, kind: str, owner: str, seconds: float, *, peer: str | None = None, most: int = 1
    ) -> list[Job]:
        """Take up to ``most`` jobs of a kind that are due, or whose worker has not come back in time."""
        now = self._clock.now()
        ready = or_(
            and_(jobs.c.state == WAITING, jobs.c.due <= now),
            and_(jobs.c.state == LEASED, jobs.c.lease_until < now),
        )
        chosen = select(jobs.c.id).where(ready, jobs.c.kind == kind)
        if peer is not None:
            chosen = chosen.where(jobs.c.peer == peer)
        chosen = chosen.order_by(jobs.c.due, jobs.c.id).limit(most).with_for_update(skip_locked=True)
        taken = (
            update(jobs)
            .where(jobs.c.id.in_(chosen.cte("chosen").select()))
            .values(
                state=LEASED,
                fence=jobs.c.fence + 1,
                tries=jobs.c.tries + 1,
                owner=owner,
                lease_until=now + seconds,
                updated=now,
            )
            .returning(jobs.c.due, *_COLUMNS)
        )
        with self._database.writing() as connection:
            rows = connection.execute(taken).all()
        return [Job(*values) for _due, *values in sorted(rows, key=lambda row: (row.due, row.id))]

    def has_due(self, kind: str, peer: str | None = None) -> bool:
        """Whether `lease` would find one; a read, where a lease is a write."""
        now = self._clock.now()
        due = case((jobs.c.state == WAITING, jobs.c.due), else_=jobs.c.lease_until)
        statement = select(jobs.c.id).where(
            jobs.c.state.in_((WAITING, LEASED)), jobs.c.kind == kind, due <= now
        )
        if peer is not None:
            statement = statement.where(jobs.c.peer == peer)
        with self._database.reading() as connection:
            return connection.execute(statement.limit(1)).first() is not None

    def finish(self, connection: Connection, job: Job, status: str = "", problem: str = "") -> None:
        """The job is done; belongs into the transaction that writes its result.

        Raises:
            LeaseLostError: Another worker has it by now; the transaction must not commit.
        """
        self._change(connection, job, state=DONE, status=status, problem=problem)

    def again(
        self, connection: Connection, job: Job, problem: str, *, status: str = "", after: float | None = None
    ) -> None:
        """Try the job again, after a delay that grows with its tries.

        Raises:
            LeaseLostError: See `finish`.
        """
        wait = delay(job.tries) if after is None else after
        due = self._clock.now() + wait
        self._change(connection, job, state=WAITING, due=due, status=status, problem=problem)

    def give_up(self, connection: Connection, job: Job, problem: str, status: str = "") -> None:
        """The job needs a person.

        Raises:
            LeaseLostError: See `finish`.
        """
        self._change(connection, job, state=DEAD, status=status, problem=problem)

    def extend(self, job: Job, seconds: float) -> None:
        """Ask for more time.

        Raises:
            LeaseLostError: It is too late.
        """
        with self._database.writing() as connection:
            self._change(connection, job, lease_until=self._clock.now() + seconds)

    def hasten(self, connection: Connection, kind: str, peer: str, instance_id: int | None = None) -> None:
        """What waits for a peer is due now: it answers again, or has what the job waited for."""
        waiting = and_(jobs.c.kind == kind, jobs.c.peer == peer, jobs.c.state == WAITING)
        if instance_id is not None:
            waiting = and_(waiting, jobs.c.instance_id == instance_id)
        connection.execute(update(jobs).where(waiting).values(due=self._clock.now()))

    def _change(self, connection: Connection, job: Job, **values: Any) -> None:
        mine = and_(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == LEASED)
        changed = connection.execute(update(jobs).where(mine).values(updated=self._clock.now(), **values))
        if changed.rowcount != 1:
            raise LeaseLostError(f"the {job.kind} job {job.id} belongs to another worker by now")

    def free(self, owner: str) -> int:
        """Give back what an owner had leased that is known to be gone; how many."""
        mine = and_(jobs.c.owner == owner, jobs.c.state == LEASED)
        with self._database.writing() as connection:
            now = self._clock.now()
            return connection.execute(update(jobs).where(mine).values(state=WAITING, due=now)).rowcount

    def counts(self) -> dict[tuple[str, str], int]:
        """How many jobs there are of each (kind, state)."""
        statement = select(jobs.c.kind, jobs.c.state, func.count()).group_by(jobs.c.kind, jobs.c.state)
        with self._database.reading() as connection:
            return {(kind, state): number for kind, state, number in connection.execute(statement)}

    def listed(self, states: Sequence[str], most: int = 100) -> list[Mapping[str, Any]]:
        """Jobs in some states, the longest unchanged first, with the UID they are about."""
        statement = (
            select(jobs, instances.c.uid)
            .join(instances)
            .where(jobs.c.state.in_(states))
            .order_by(jobs.c.updated, jobs.c.id)
            .limit(most)
        )
        with self._database.reading() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def revive(self, ids: Sequence[int] | None = None) -> int:
        """Try dead and dropped jobs again, all the dead ones by default; how many."""
        values = {"state": WAITING, "due": self._clock.now(), "tries": 0, "updated": self._clock.now()}
        return self._set_aside((DEAD,) if ids is None else (DEAD, DROPPED, WAITING), ids, values)

    def drop(self, ids: Sequence[int]) -> int:
        """Never do some jobs that wait or are dead; how many."""
        values = {"state": DROPPED, "updated": self._clock.now()}
        return self._set_aside((WAITING, DEAD), ids, values)

    def _set_aside(self, states: Sequence[str], ids: Sequence[int] | None, values: Mapping[str, Any]) -> int:
        chosen = and_(jobs.c.state.in_(states), true() if ids is None else jobs.c.id.in_(ids))
        with self._database.writing() as connection:
            return connection.execute(update(jobs).where(chosen).values(values)).rowcount


def delay(tries: int) -> float:
    """Seconds before another try: 2, 4, 8, ... up to 15 minutes, each a quarter more or less.

    >>> 1.5 <= delay(1) <= 2.5 and 6 <= delay(3) <= 10 and 675 <= delay(50) <= 1125
    True
    """
    wait = min(_LONGEST_DELAY, _FIRST_DELAY * float(2 ** min(tries - 1, 20)))
    return wait * random.uniform(0.75, 1.25)
