"""The list of images that wait for a person, in the order in which they should be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select

from xiqa.service.records.schema import DECIDED, URGENCY, instances
from xiqa.service.records.store import Store

__all__ = ["STATES", "Filter", "Worklist"]

#: Names of the parts of the list: the verdict of what is undecided, or ``decided``.
STATES = {(verdict or "waiting"): place for verdict, place in URGENCY.items()} | {"decided": DECIDED}
_SHOWN = (
    *("uid", "received", "acquired", "modality", "body_part", "view", "station", "device", "verdict"),
    *("probability", "problem", "decision", "decided", "urgency", "version"),
)
_EXACT = ("device", "station", "view", "problem")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which images; empty texts mean all.

    Attributes:
        state: One of `STATES`; empty: all that is undecided.
        device: Model name of the device.
        station: Station, as a rule the room.
        view: View position.
        problem: What is suspected.
        day: Day of arrival (UTC) as ``YYYY-MM-DD``.
    """

    state: str = ""
    device: str = ""
    station: str = ""
    view: str = ""
    problem: str = ""
    day: str = ""

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Filter:
        """The filter in a query; what is no value of an entry is left out."""
        known = {name: values.get(name, "")[:64] for name in cls.__slots__}
        known["state"] = known["state"] if known["state"] in STATES else ""
        known["day"] = known["day"] if _day(known["day"]) else ""
        return cls(**known)

    def query(self) -> dict[str, str]:
        """The entries that are set."""
        return {name: value for name, value in asdict(self).items() if value}

    def conditions(self, *, state: bool = True) -> list[ColumnElement[bool]]:
        """As conditions of a query."""
        chosen = [instances.c[name] == getattr(self, name) for name in _EXACT if getattr(self, name)]
        if state:
            place = STATES.get(self.state)
            chosen.append(instances.c.urgency < DECIDED if place is None else instances.c.urgency == place)
        start = _day(self.day)
        if start is not None:
            ends = start + timedelta(days=1)
            chosen.append(instances.c.received.between(start.timestamp(), ends.timestamp()))
        return chosen


class Worklist:
    """Reads the list.

    Args:
        store: Where the images are.
    """

    def __init__(self, store: Store) -> None:
        self._database = store.database

    def rows(self, chosen: Filter, most: int = 100, page: int = 0) -> list[dict[str, Any]]:
        """Most urgent first, then the oldest; of what is decided the latest first."""
        order = instances.c.received.desc() if chosen.state == "decided" else instances.c.received
        statement = (
            select(*(instances.c[name] for name in _SHOWN))
            .where(*chosen.conditions())
            .order_by(instances.c.urgency, order)
            .limit(most)
            .offset(most * page)
        )
        with self._database.reading() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def counts(self, chosen: Filter) -> dict[str, int]:
        """How many images each part of the list has."""
        statement = (
            select(instances.c.urgency, func.count())
            .where(*chosen.conditions(state=False))
            .group_by(instances.c.urgency)
        )
        with self._database.reading() as connection:
            found: dict[int, int] = dict(connection.execute(statement).tuples().all())
        return {name: found.get(place, 0) for name, place in STATES.items()}

    def choices(self) -> dict[str, list[str]]:
        """The values that each entry of a filter can have."""
        with self._database.reading() as connection:
            return {
                name: [
                    value
                    for value in connection.execute(
                        select(instances.c[name]).distinct().order_by(instances.c[name]).limit(200)
                    ).scalars()
                    if value
                ]
                for name in _EXACT
            }

    def after(self, chosen: Filter, uid: str) -> str | None:
        """The image that a person looks at next; None where none is left."""
        rows = self.rows(chosen, 2)
        return next((row["uid"] for row in rows if row["uid"] != uid), None)

    def earlier(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Earlier images of the same patient, body part and view whose files are there, the latest first."""
        if not row["patient"]:
            return []
        same = [instances.c[name] == row[name] for name in ("patient", "body_part", "view")]
        statement = (
            select(*(instances.c[name] for name in _SHOWN))
            .where(*same, instances.c.received < row["received"], instances.c.spooled.is_(True))
            .order_by(instances.c.received.desc())
            .limit(5)
        )
        with self._database.reading() as connection:
            return [dict(found) for found in connection.execute(statement).mappings()]


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
