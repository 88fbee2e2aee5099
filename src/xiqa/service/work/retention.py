"""Files of what is done leave the disk by age and size; their rows stay."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import Select, exists, func, select, update

from xiqa.dicom.net.spool import Spool
from xiqa.service.records.jobs import DONE, DROPPED
from xiqa.service.records.schema import events, instances, jobs, results
from xiqa.service.records.store import Store
from xiqa.service.settings import Node
from xiqa.service.work.maps import map_path

__all__ = ["Retention"]

_DAY = 86_400.0
_BATCH = 200
_EVENT_DAYS = 30.0


class Retention:
    """Removes files of instances none of whose jobs is left to do.

    Args:
        settings: How long, and how much.
        store: Which.
        spool: Where.
    """

    def __init__(self, settings: Node, store: Store, spool: Spool) -> None:
        self._settings, self._store, self._spool = settings, store, spool
        self._results = settings.folder / "results"

    def sweep(self) -> int:
        """Remove what is too old, then the oldest while there is too much; how many."""
        removed = 0
        while batch := self._candidates(time.time() - _DAY * self._settings.keep_days):
            removed += self._remove(batch)
        while self._taken() > self._settings.keep_gb * 1e9 and (batch := self._candidates(None, 20)):
            removed += self._remove(batch)
        self._forget_events()
        return removed

    def _candidates(self, before: float | None, most: int = _BATCH) -> list[tuple[int, str]]:
        """The oldest instances that may go: (number, UID)."""
        open_jobs = exists().where(jobs.c.instance_id == instances.c.id, jobs.c.state.not_in((DONE, DROPPED)))
        chosen: Select[tuple[int, str]] = select(instances.c.id, instances.c.uid).where(
            instances.c.spooled.is_(True), ~open_jobs
        )
        if before is not None:
            chosen = chosen.where(instances.c.received < before)
        with self._store.database.reading() as connection:
            rows = connection.execute(chosen.order_by(instances.c.received).limit(most)).all()
        return [(row.id, row.uid) for row in rows]

    def _taken(self) -> int:
        """Bytes of all files."""
        statement = select(func.sum(instances.c.size)).where(instances.c.spooled.is_(True))
        with self._store.database.reading() as connection:
            return int(connection.execute(statement).scalar() or 0)

    def _remove(self, batch: list[tuple[int, str]]) -> int:
        """Mark rows, then remove their files: what a crash leaves between is removed by the next sweep."""
        numbers = [number for number, _ in batch]
        with self._store.database.writing() as connection:
            connection.execute(update(instances).where(instances.c.id.in_(numbers)).values(spooled=False))
            paths = connection.execute(select(results.c.path).where(results.c.instance_id.in_(numbers)))
            stale = list(paths.scalars())
        for _, uid in batch:
            self._spool.remove(uid)
            map_path(self._settings.folder, uid).unlink(missing_ok=True)
        for name in stale:
            (self._results / Path(name).name).unlink(missing_ok=True)
        return len(batch)

    def remove_left_over(self) -> int:
        """Remove files whose rows say that they are gone; how many."""
        left = [path.stem for path in self._spool.files() if self._is_gone(path.stem)]
        for uid in left:
            self._spool.remove(uid)
        return len(left)

    def _is_gone(self, uid: str) -> bool:
        statement = select(instances.c.spooled).where(instances.c.uid == uid)
        with self._store.database.reading() as connection:
            return connection.execute(statement).scalar() is False

    def _forget_events(self) -> None:
        old = events.c.at < self._store.clock.now() - _DAY * _EVENT_DAYS
        with self._store.database.writing() as connection:
            connection.execute(events.delete().where(old))
