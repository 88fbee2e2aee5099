"""A department that never was: a year of images, verdicts and decisions, to try the analysis on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert, select

from xiqa.errors import XiqaError
from xiqa.service.records.decisions import overrides
from xiqa.service.records.schema import DECIDED, decisions, instances, people
from xiqa.service.records.store import Store

__all__ = ["Department", "add_department"]

_PERSON = "simulated"
_UID = "2.25.7216904113"
_WEEKDAYS = (1.15, 1.1, 1.05, 1.0, 0.95, 0.4, 0.35)
#: Room: device, share of the images, usual rate of rejects.
_ROOMS = {
    "ROOM 1": ("DX-9", 0.45, 0.06),
    "ROOM 2": ("DX-9", 0.35, 0.07),
    "PORTABLE": ("MobiCR", 0.20, 0.03),
}
_VIEWS = (("PA", 0.6), ("LAT", 0.25), ("AP", 0.15))
_REASONS = (("111209", 0.55), ("111212", 0.08), ("111211", 0.07), ("111210", 0.1), ("111215", 0.2))


@dataclass(frozen=True, slots=True)
class Department:
    """What is simulated.

    Attributes:
        last: The last day.
        days: How many.
        images: On a usual day.
        seed: Of the random numbers.
        changed: Part of the span after which Room 2 rejects more.
        factor: How much more.
    """

    last: date
    days: int = 365
    images: int = 60
    seed: int = 0
    changed: float = 0.75
    factor: float = 2.5


def add_department(store: Store, wanted: Department) -> int:
    """Put a department's images and decisions into an empty database; how many images.

    Raises:
        XiqaError: There are images already: simulated ones never stand beside real ones.
    """
    with store.database.writing() as connection:
        if connection.execute(select(instances.c.id).limit(1)).first() is not None:
            raise XiqaError("the database holds images already", todo="simulate into a folder of its own")
        row = {"name": _PERSON, "full_name": "Simulated Person", "role": "technologist", "active": False}
        made = insert(people).values(**row, created=store.clock.now()).returning(people.c.id)
        person = int(connection.execute(made).scalar_one())
        rows = list(_images(wanted))
        decided = [row.pop("made") for row in rows]
        connection.execute(insert(instances), rows)
        numbers = connection.execute(select(instances.c.id).order_by(instances.c.id)).scalars().all()
        kept = [
            choice | {"instance_id": number, "person_id": person}
            for number, choice in zip(numbers, decided, strict=True)
            if choice
        ]
        connection.execute(insert(decisions), kept)
        detail = f"simulated: {len(rows)} images"
        store.trail.note(connection, "activity", "department", actor="command line", detail=detail)
    return len(rows)


def _images(wanted: Department) -> Iterator[dict[str, Any]]:
    """Day by day; a rejected image is followed by its repeat within minutes."""
    rng = np.random.default_rng(wanted.seed)
    number = 0
    for place in range(wanted.days):
        day = wanted.last - timedelta(days=wanted.days - 1 - place)
        start = datetime(day.year, day.month, day.day, 7, tzinfo=UTC).timestamp()
        count = rng.poisson(wanted.images * _WEEKDAYS[day.weekday()])
        for offset in np.sort(rng.uniform(0, 10 * 3600, count)):
            more = wanted.factor if place >= wanted.changed * wanted.days else 1.0
            for row in _images_of(rng, number, start + float(offset), more):
                number += 1
                yield row


def _images_of(rng: np.random.Generator, number: int, at: float, factor: float) -> Iterator[dict[str, Any]]:
    """The images of one patient: one, and another as long as the last was rejected."""
    names = list(_ROOMS)
    room = names[int(rng.choice(len(names), p=[_ROOMS[name][1] for name in names]))]
    device, _, rate = _ROOMS[room]
    rate *= factor if room == "ROOM 2" else 1.0
    view = str(rng.choice([name for name, _ in _VIEWS], p=[part for _, part in _VIEWS]))
    patient = f"{rng.integers(2**62):064x}"
    for tries in range(3):
        poor = bool(rng.random() < (rate if tries == 0 else rate / 3))
        yield _image(rng, number + tries, at + 240 * tries, poor, room, device, view, patient)
        if not poor:
            return


def _image(
    rng: np.random.Generator,
    number: int,
    at: float,
    poor: bool,
    room: str,
    device: str,
    view: str,
    patient: str,
) -> dict[str, Any]:
    """One image with a verdict that is mostly right, and what a person made of it."""
    probability = float(rng.beta(4, 2) if poor else rng.beta(1, 6))
    verdict = "reacquire" if probability > 0.6 else "review" if probability > 0.4 else "accept"
    action = "reacquire" if poor else "accept"
    against = overrides(verdict, action)
    looked = verdict != "accept" or poor or rng.random() < 0.1
    reason = str(rng.choice([code for code, _ in _REASONS], p=[part for _, part in _REASONS])) if poor else ""
    choice = {
        "version": 1,
        "action": action,
        "reason": reason,
        "note": "simulated" if against or reason == "111215" else "",
        "person": "Simulated Person",
        "verdict": verdict,
        "override": against,
        "at": at + 120,
    }
    return {
        "uid": f"{_UID}.{number}",
        "sop_class": "1.2.840.10008.5.1.4.1.1.1.1",
        "transfer_syntax": "1.2.840.10008.1.2.1",
        "sha256": f"{number:064x}",
        "size": 0,
        "path": "",
        "spooled": False,
        "received": at,
        "modality": "DX",
        "body_part": "CHEST",
        "view": view,
        "station": room,
        "device": device,
        "patient": patient,
        "verdict": verdict,
        "reason": "simulated",
        "probability": probability,
        "problem": "positioning" if verdict != "accept" else "",
        "rule": "simulated",
        "assessed": at + 1,
        "urgency": DECIDED if looked else 4,
        "version": int(looked),
        "decision": action if looked else "",
        "decided": at + 120 if looked else None,
        "made": choice if looked else None,
    }
