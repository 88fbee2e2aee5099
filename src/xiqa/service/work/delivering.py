"""Jobs of the kinds ``forward``, ``confirm`` and ``deliver``: what goes out, and what the receiver said.

Forwarding knows nothing of models: whatever becomes of the assessment, the original goes on, as it came.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xiqa.dicom.net.answers import Answer, Archive, File
from xiqa.dicom.net.compare import differences
from xiqa.dicom.net.instance import Instance, read_part10
from xiqa.errors import NetworkError
from xiqa.service.records.jobs import Job, LeaseLostError
from xiqa.service.records.store import Store
from xiqa.service.settings import Peer

__all__ = ["EXPLICIT", "Courier"]

_LOG = logging.getLogger(__name__)
_REFUSALS = 5  # of the same object, before a person must look
EXPLICIT = "1.2.840.10008.1.2.1"


class Courier:
    """Carries originals and results to one peer.

    Args:
        peer: Its settings.
        archive: The system behind it.
        store: Where jobs and answers are.
        folder: The node's.
        owner: Who leases.
    """

    def __init__(self, peer: Peer, archive: Archive, store: Store, folder: Path, owner: str) -> None:
        self._peer, self._archive, self._store, self._owner = peer, archive, store, owner
        self._spool, self._results = folder / "spool", folder / "results"
        self._away = False

    def step_forward(self) -> bool:
        """Forward a batch of originals, or confirm one; False where there is nothing to do."""
        return self._each("forward", self._forward, self._peer.batch) or self._each(
            "confirm", self._confirm, 1
        )

    def step_deliver(self) -> bool:
        """Deliver the results of one object; False where there is nothing to do."""
        return bool(self._peer.results) and self._each("deliver", self._deliver, 1)

    def _each(self, kind: str, do: Any, most: int) -> bool:
        queue = self._store.queue
        if not queue.has_due(kind, self._peer.name):
            return False
        seconds = 60 + self._peer.seconds * (most + 2)
        leased = queue.lease(kind, self._owner, seconds, peer=self._peer.name, most=most)
        try:
            if leased:
                do(leased)
        except LeaseLostError:
            _LOG.warning("a job took longer than its lease", extra={"peer": self._peer.name})
        return bool(leased)

    # originals

    def _forward(self, leased: Sequence[Job]) -> None:
        """Send originals in one association."""
        rows = {job.id: self._store.instance(job.instance_id) for job in leased}
        waiting = [job for job in leased if not self._is_there(job, rows[job.id])]
        files = [_original(self._spool, rows[job.id]) for job in waiting]
        for job, answer in zip(waiting, self._archive.send(files) if files else [], strict=True):
            self._sent(job, answer)

    def _is_there(self, job: Job, row: dict[str, Any]) -> bool:
        """Whether an earlier try, whose answer was lost, brought the object there; its job is then done."""
        if job.tries == 1 or self._peer.confirm == "no":
            return False
        try:
            there = self._archive.has(_identity(row), row["study_uid"], row["series_uid"])
        except NetworkError:
            return False
        if there:
            self._sent(job, Answer(row["uid"], 0))
        return there

    def _sent(self, job: Job, answer: Answer) -> None:
        """Keep what became of an original."""
        store, queue = self._store, self._store.queue
        with store.database.writing() as connection:
            if not answer.taken:
                self._failed(connection, job, answer)
                return
            queue.finish(connection, job, status=answer.word)
            if self._peer.confirm != "no":
                queue.add(connection, [job.instance_id], [("confirm", self._peer.name)])
            queue.hasten(connection, "deliver", self._peer.name, job.instance_id)
            if self._away:  # it answers again: nothing need wait for its next try
                self._away = False
                queue.hasten(connection, "forward", self._peer.name)
            store.delivered(connection, job, answer.uid, answer.word)

    def _failed(self, connection: Any, job: Job, answer: Answer) -> None:
        """Try again later; a person must look when the peer keeps refusing, or after too long."""
        queue, problem = self._store.queue, answer.problem
        old = self._store.clock.now() - job.created > 3600 * self._peer.give_up_hours
        self._away = answer.status is None
        if old or (not answer.may_pass and job.tries >= _REFUSALS):
            queue.give_up(connection, job, problem, answer.word)
            self._store.tell(
                connection, "undelivered", answer.uid, {"peer": self._peer.name, "problem": problem}
            )
        else:
            queue.again(connection, job, problem, status=answer.word)

    # is it really there?

    def _confirm(self, leased: Sequence[Job]) -> None:
        """Ask the peer whether it has what it says it took."""
        for job in leased:
            row = self._store.instance(job.instance_id)
            try:
                outcome, detail = self._outcome(row)
            except NetworkError as error:
                with self._store.database.writing() as connection:
                    self._store.queue.again(connection, job, str(error))
                continue
            self._confirmed(job, row["uid"], outcome, detail)

    def _outcome(self, row: dict[str, Any]) -> tuple[str, str]:
        """``confirmed``, ``missing`` or ``differs``, and in what."""
        study, series = row["study_uid"], row["series_uid"]
        if self._peer.confirm == "find":
            return ("confirmed" if self._archive.has(_identity(row), study, series) else "missing"), ""
        ours = read_part10(self._spool / row["path"])
        theirs = self._archive.fetch(ours, study, series)
        if theirs is None:
            return "missing", ""
        differing = differences(ours, theirs)
        return ("differs", ", ".join(differing[:10])) if differing else ("confirmed", "")

    def _confirmed(self, job: Job, uid: str, outcome: str, detail: str) -> None:
        """Keep the outcome; what is missing is asked for a few times, for archives may be slow to index."""
        queue = self._store.queue
        with self._store.database.writing() as connection:
            if outcome == "missing" and job.tries < _REFUSALS:
                queue.again(connection, job, "the archive does not have it")
                return
            if outcome == "confirmed":
                queue.finish(connection, job, status=outcome)
            else:
                queue.give_up(connection, job, f"the archive's copy {outcome}: {detail}", outcome)
            self._store.delivered(connection, job, uid, "0000", outcome)

    # results

    def _deliver(self, leased: Sequence[Job]) -> None:
        """Send the results of one object that the peer has not taken yet, after its original."""
        for job in leased:
            row = self._store.instance(job.instance_id)
            taken = self._store.taken(job.instance_id, self._peer.name)
            if self._peer.originals and row["uid"] not in taken:
                with self._store.database.writing() as connection:
                    self._store.queue.again(connection, job, "the original goes first")
                continue
            results = [
                result
                for result in self._store.results_of(job.instance_id)
                if result.kind in self._peer.results and result.uid not in taken
            ]
            files = [
                File(str(self._results / result.path), result.sop_class, result.uid, EXPLICIT)
                for result in results
            ]
            self._delivered(job, self._archive.send(files) if files else [])

    def _delivered(self, job: Job, answers: Sequence[Answer]) -> None:
        """Keep what became of the results; those that were taken are never sent again."""
        failed = [answer for answer in answers if not answer.taken]
        with self._store.database.writing() as connection:
            if failed:
                self._failed(connection, job, failed[0])
            else:
                self._store.queue.finish(connection, job, status="0000")
            for answer in answers:
                if answer.taken:
                    self._store.delivered(connection, job, answer.uid, answer.word)


def _original(spool: Path, row: dict[str, Any]) -> File:
    return File(str(spool / row["path"]), row["sop_class"], row["uid"], row["transfer_syntax"])


def _identity(row: dict[str, Any]) -> Instance:
    """Enough of an object to ask for it."""
    return Instance(row["sop_class"], row["uid"], row["transfer_syntax"], b"")
