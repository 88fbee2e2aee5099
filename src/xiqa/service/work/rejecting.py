"""Jobs of the kind ``reject``: archives are told of a person's rejection, once they have the image.

Archives hide an image that a note *Rejected for Quality Reasons* (113001) names. So the note is made from the
decision in force, when the time to undo it is over, and only for an archive that was asked and has the image.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from xiqa.dicom.net.answers import Answer, Archive, File
from xiqa.errors import XiqaError
from xiqa.service.records.jobs import Job
from xiqa.service.records.schema import decisions
from xiqa.service.records.store import Store
from xiqa.service.settings import Assessing, Peer
from xiqa.service.work.assessor import Assessor, ChildDiedError
from xiqa.service.work.delivering import EXPLICIT, Courier

__all__ = ["Rejecter"]

_MAKER = "xiqa.service.work.showing:rejection"


class Rejecter(Courier):
    """Tells one archive which images people have rejected.

    Args:
        peer: Its settings.
        archive: The system behind it.
        store: Where jobs and decisions are.
        folder: The node's.
        owner: Who leases.
        limits: Of the process that makes the notes.
    """

    def __init__(
        self, peer: Peer, archive: Archive, store: Store, folder: Path, owner: str, limits: Assessing
    ) -> None:
        super().__init__(peer, archive, store, folder, owner)
        self._maker = Assessor(limits)

    def step_reject(self) -> bool:
        """Tell of one rejection; False where there is nothing to do."""
        return self._each("reject", self._reject, 1)

    def close(self) -> None:
        """End the process."""
        self._maker.close()

    def _reject(self, leased: Sequence[Job]) -> None:
        for job in leased:
            row = self._store.instance(job.instance_id)
            outcome = self._store.taken(job.instance_id, self._peer.name).get(row["uid"])
            if outcome != "confirmed":
                told = outcome or "not yet sent"
                self._wait(job, row, f"the archive has not confirmed the original ({told})")
                continue
            try:
                file = self._note_of(row)
            except (XiqaError, ChildDiedError) as error:
                self._wait(job, row, str(error))
                continue
            self._delivered(job, self._archive.send([file]))

    def _wait(self, job: Job, row: dict[str, Any], problem: str) -> None:
        """Try again later, and leave it to a person after as long as any other delivery."""
        with self._store.database.writing() as connection:
            self._failed(connection, job, Answer(row["uid"], None, problem))

    def _note_of(self, row: dict[str, Any]) -> File:
        """The note as a file beside the other results."""
        latest = self._decision(row["id"])
        out = self._results / f"rejection-{row['uid']}.dcm"
        told = None if row["assessment"] is None else json.loads(row["assessment"])
        answer = self._maker.do(
            _MAKER,
            path=str(self._spool / row["path"]),
            out=str(out),
            assessment=told,
            decision={
                "uid": row["uid"],
                "action": latest["action"],
                "person": latest["person"],
                "time": datetime.fromtimestamp(latest["at"], UTC).isoformat(),
                "reason": latest["reason"],
                "note": latest["note"],
            },
        )
        if "uid" not in answer:
            raise XiqaError("the note of rejection cannot be made", got=str(answer.get("problem")))
        return File(str(out), answer["sop_class"], answer["uid"], EXPLICIT)

    def _decision(self, number: int) -> dict[str, Any]:
        """The decision in force; a job is leased only while it is one of rejection."""
        statement = select(decisions).where(decisions.c.instance_id == number).order_by(decisions.c.id.desc())
        with self._store.database.reading() as connection:
            return dict(connection.execute(statement.limit(1)).mappings().one())
