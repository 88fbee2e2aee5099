"""Where each result lies in a journal, and in which order results are told: on the disk, not in memory.

The index is a private SQLite database, which spills to a temporary file as it grows and ends with the
process. It is made anew from the journal, so it cannot be older than that.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from xiqa.report.rows import PEOPLE, URGENCY
from xiqa.types import WHOLE, Verdict

__all__ = ["Index", "Known", "Shape"]

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -8192;
CREATE TABLE rows (
    path BLOB, run INTEGER, frame INTEGER, offset INTEGER, settings TEXT, size INTEGER, modified INTEGER,
    urgency INTEGER, probability REAL, file BLOB, series TEXT, place INTEGER, fragile INTEGER, people TEXT,
    radiograph INTEGER,
    PRIMARY KEY (path, run, frame)
) WITHOUT ROWID;
CREATE TABLE wholes (
    series TEXT, run INTEGER, offset INTEGER, urgency INTEGER, probability REAL, file BLOB,
    PRIMARY KEY (series, run)
) WITHOUT ROWID;
CREATE TABLE wanted (path BLOB PRIMARY KEY) WITHOUT ROWID;
"""
# As `xiqa.report.rows.worst_first` orders: a series before its images, and where its own row belongs.
_ORDERED = """
FROM rows AS r LEFT JOIN wholes AS w ON w.series = r.series AND w.run = r.run {where}
ORDER BY coalesce(w.urgency, r.urgency), coalesce(w.probability, r.probability) DESC,
    coalesce(w.file, r.file), r.series, CASE WHEN r.frame = -1 THEN -1 ELSE r.place END, r.frame
"""
_MINE = "WHERE r.run = :run AND r.path IN (SELECT path FROM wanted)"
# SOP classes of projection radiographs, which have no place in the patient and so are slices of no series.
_PROJECTION = tuple(
    f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1")
)


class Known(NamedTuple):
    """What the index holds of one result.

    Attributes:
        offset: Of its line in the journal.
        settings: Fragility and version it was made with; see `settings_of`.
        size: Of the file, in bytes.
        modified: Time of the file's last change, in nanoseconds.
        assessed: Whether there is a probability.
        series: Name of its series, or an empty string.
        radiograph: Whether it is no slice of a series, whatever lies beside it.
    """

    offset: int
    settings: str
    size: int
    modified: int
    assessed: bool
    series: str
    radiograph: bool


class Shape(NamedTuple):
    """Which columns a table of the results needs.

    Attributes:
        fragile: Whether any has a fragility.
        series: Whether any belongs to a series.
        identifiers: The identifiers that are known.
    """

    fragile: bool
    series: bool
    identifiers: frozenset[str]


class Index:
    """See the module. Several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._base.executescript(_TABLES)
        self._runs: dict[tuple[Any, Any], int] = {}

    def __len__(self) -> int:
        return int(self._ask("SELECT count(*) FROM rows")[0][0])

    @contextmanager
    def together(self) -> Iterator[None]:
        """Many lines at once: sooner than one by one."""
        with self._lock:
            self._base.execute("BEGIN")
            try:
                yield
            finally:
                self._base.execute("COMMIT")

    def put(self, data: Mapping[str, Any], offset: int) -> None:
        """Take in a line, which replaces an older one of the same file, frame, model and method.

        Args:
            data: The line as it is in JSON.
            offset: Where it begins.
        """
        row = self._row(data, offset)
        self._ask(f"INSERT OR REPLACE INTO rows VALUES ({','.join('?' * len(row))})", row)
        if row[2] == WHOLE:
            _, run, _, _, _, _, _, urgency, probability, file, series, *_ = row
            whole = (series, run, offset, urgency, probability, file)
            self._ask("INSERT OR REPLACE INTO wholes VALUES (?, ?, ?, ?, ?, ?)", whole)

    def drop_from(self, offset: int) -> None:
        """Forget the lines from an offset on."""
        for table in ("rows", "wholes"):
            self._ask(f"DELETE FROM {table} WHERE offset >= ?", (offset,))

    def find(self, path: str, frame: int, settings: Mapping[str, Any]) -> Known | None:
        """What is known of a frame of a file with this model and method."""
        rows = self._ask(
            "SELECT offset, settings, size, modified, probability IS NOT NULL, series, radiograph FROM rows "
            "WHERE path = ? AND run = ? AND frame = ?",
            (name_bytes(path), self._run(settings), frame),
        )
        return Known(*rows[0]) if rows else None

    def want(self, paths: Iterable[str]) -> None:
        """Choose the files that questions with a ``run`` are about."""
        with self._lock:
            self._base.execute("DELETE FROM wanted")
            self._base.execute("BEGIN")
            self._base.executemany(
                "INSERT OR IGNORE INTO wanted VALUES (?)", ((name_bytes(p),) for p in paths)
            )
            self._base.execute("COMMIT")

    def offsets(self, settings: Mapping[str, Any] | None = None) -> Iterator[int]:
        """Where the lines are, worst first: all of them, or those of the wanted files with these settings."""
        where = "" if settings is None else _MINE
        query = f"SELECT r.offset {_ORDERED.format(where=where)}"
        with self._lock:
            cursor = self._base.execute(query, {"run": self._run(settings or {})})
        while rows := self._more(cursor):
            yield from (offset for (offset,) in rows)

    def counts(self, settings: Mapping[str, Any] | None = None, *, alone: bool = False) -> dict[Verdict, int]:
        """How many have each verdict, in order of urgency, zeros included.

        Args:
            settings: As for `offsets`.
            alone: Count a series once and not its images.
        """
        conditions = ["1"] if settings is None else [_MINE.removeprefix("WHERE ")]
        conditions += [f"(r.frame = {WHOLE} OR r.series = '')"] if alone else []
        rows = self._ask(
            f"SELECT urgency, count(*) FROM rows AS r WHERE {' AND '.join(conditions)} GROUP BY urgency",
            {"run": self._run(settings or {})},
        )
        found = dict(rows)
        return {verdict: found.get(place, 0) for place, verdict in enumerate(URGENCY)}

    def series(self, settings: Mapping[str, Any]) -> int:
        """How many of the wanted results are the row of a series."""
        query = f"SELECT count(*) FROM rows AS r {_MINE} AND r.frame = {WHOLE}"
        return int(self._ask(query, {"run": self._run(settings)})[0][0])

    def shape(self) -> Shape:
        """Which columns a table of all results needs."""
        fragile, series = self._ask("SELECT max(fragile), max(series != '') FROM rows")[0]
        names = self._ask("SELECT DISTINCT people FROM rows")
        return Shape(bool(fragile), bool(series), frozenset(n for (text,) in names for n in json.loads(text)))

    def _row(self, data: Mapping[str, Any], offset: int) -> tuple[Any, ...]:
        """A line's columns."""
        result = data["result"]
        source, whole = result["source"], result["series"] is not None
        people = [name for name in PEOPLE.values() if name in source["identifiers"]]
        return (
            name_bytes(data["path"]),
            self._run(result["provenance"]),
            WHOLE if whole else source["frame"],
            offset,
            settings_of(result["provenance"]),
            source["size"],
            source["modified"],
            URGENCY.index(Verdict(result["verdict"])),
            result["probability"],
            name_bytes(result["file"]),
            source["series"],
            source["place"],
            result["fragility"] is not None,
            json.dumps(people),
            source["format"] != "dicom" or source["identifiers"].get("SOPClassUID") in _PROJECTION,
        )

    def _run(self, settings: Mapping[str, Any]) -> int:
        """A number for a model and a method."""
        name = settings.get("model_hash"), settings.get("method")
        return self._runs.setdefault(name, len(self._runs))

    def _ask(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        with self._lock:
            return self._base.execute(query, values).fetchall()

    def _more(self, cursor: sqlite3.Cursor) -> list[Any]:
        with self._lock:
            return cursor.fetchmany(1000)


def name_bytes(name: str) -> bytes:
    """Any file name as SQLite keeps it; ordered as the names are."""
    return name.encode("utf-8", "surrogatepass")


def settings_of(provenance: Mapping[str, Any]) -> str:
    """What a result depends on beside content, frame, model and method; see `xiqa.types.result_key`."""
    return json.dumps([provenance.get("fragility"), provenance.get("xiqa")])
