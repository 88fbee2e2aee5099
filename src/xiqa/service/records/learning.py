"""Decisions as a data set: what people decided is what the next model learns and is calibrated on."""

from __future__ import annotations

import csv
import hashlib
import secrets
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import and_, select

from xiqa.dicom.codes import REJECT_REASONS
from xiqa.errors import OutputError
from xiqa.report.rows import harmless
from xiqa.service.records.schema import decisions, instances
from xiqa.service.records.store import Store

__all__ = ["export_decisions"]

_COLUMNS = ("image", "label", "patient", "tags", "verdict", "probability", "override", "model_hash")


def export_decisions(store: Store, spool: Path, out: Path, actor: str = "command line") -> tuple[int, int]:
    """Write the decided images whose files are there as a folder with a table ``images.csv``.

    The class is the decision in force (``accept`` or ``reacquire``), the tag the reason; patients
    have numbers that are other ones in each export. Decided images are no random choice of all images: people
    look at what the model finds poor.

    Args:
        store: Where the decisions are.
        spool: Where the files are.
        out: A folder that is not there yet, or empty.
        actor: Who exports, for the audit trail.

    Returns:
        How many were written, and how many had lost their files.

    Raises:
        OutputError: The folder holds something already, or cannot be written to.
    """
    if out.exists() and any(out.iterdir()):
        raise OutputError("the folder is not empty", expected="a new folder", got=str(out))
    salt = secrets.token_bytes(16)
    rows = _decided(store)
    there = [row for row in rows if row["spooled"] and (spool / row["path"]).exists()]
    try:
        (out / "images").mkdir(parents=True, exist_ok=True)
        for row in there:
            shutil.copyfile(spool / row["path"], out / "images" / f"{row['uid']}.dcm")
        with (out / "images.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            writer.writerows(_line(row, salt) for row in there)
    except OSError as error:
        raise OutputError(f"cannot write to {out}", got=error.strerror or str(error)) from error
    store.note("export", "decisions", actor=actor, detail=f"{len(there)} images")
    return len(there), len(rows) - len(there)


def _decided(store: Store) -> list[dict[str, Any]]:
    in_force = and_(decisions.c.instance_id == instances.c.id, decisions.c.version == instances.c.version)
    names = ("uid", "path", "spooled", "patient", "verdict", "probability", "model_hash")
    statement = (
        select(
            *(instances.c[name] for name in names),
            *(decisions.c[n] for n in ("action", "reason", "override")),
        )
        .join(decisions, in_force)
        .where(instances.c.decision != "")
        .order_by(instances.c.id)
    )
    with store.database.reading() as connection:
        return [dict(row) for row in connection.execute(statement).mappings()]


def _line(row: dict[str, Any], salt: bytes) -> dict[str, Any]:
    known = row["patient"] or row["uid"]
    reason = REJECT_REASONS[row["reason"]].meaning if row["reason"] else ""
    return {
        "image": f"images/{row['uid']}.dcm",
        "label": row["action"],
        "patient": hashlib.sha256(salt + known.encode()).hexdigest()[:16],
        "tags": reason.lower().replace(" ", "_"),
        "verdict": harmless(row["verdict"]),
        "probability": row["probability"],
        "override": int(row["override"]),
        "model_hash": harmless(row["model_hash"]),
    }
