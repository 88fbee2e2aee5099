"""Whether a run repeats the numbers of an earlier one: table by table, cell by cell."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from math import isclose, isnan
from pathlib import Path

from xiqa.errors import ConfigError

__all__ = ["Change", "Comparison", "compare_tables"]

NUMBERS = ("value", "low", "high")
CLOSE = 5e-4  # half of the last digit that tables show


@dataclass(frozen=True, slots=True)
class Change:
    """A cell that is not what it was.

    Attributes:
        cell: Table, row and column.
        before: Value and interval of the earlier run; empty where it had no such cell.
        now: Of this run.
    """

    cell: str
    before: tuple[float, ...]
    now: tuple[float, ...]

    def __str__(self) -> str:
        before_and_now = [
            ", ".join(f"{one:g}" for one in numbers) or "absent" for numbers in (self.before, self.now)
        ]
        return f"{self.cell}: {before_and_now[0]} -> {before_and_now[1]}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs beside each other.

    Attributes:
        tables: How many tables both have.
        cells: How many cells were compared.
        changes: The cells that differ.
    """

    tables: int
    cells: int
    changes: tuple[Change, ...]


def compare_tables(earlier: Path, now: Path) -> Comparison:
    """Compare every table that an earlier run left as CSV with the one of the same name of a new run.

    Args:
        earlier: Folder of the earlier run, such as one under ``docs/results``.
        now: Folder of the new one.

    Raises:
        ConfigError: They have no table in common.
    """
    names = sorted(
        path.name
        for path in earlier.glob("*.csv")
        if (now / path.name).is_file() and {"column", *NUMBERS} <= set(_rows(path)[0])
    )
    if not names:
        raise ConfigError(f"no table of this run in {earlier}", expected="NAME.csv as a run writes it")
    cells, changes = 0, []
    for name in names:
        old, new = _cells(earlier / name), _cells(now / name)
        for key in dict.fromkeys((*old, *new)):
            cells += 1
            before, after = old.get(key, ()), new.get(key, ())
            if len(before) != len(after) or not all(map(_same, before, after)):
                changes.append(Change(f"{Path(name).stem}: {key}", before, after))
    return Comparison(len(names), cells, tuple(changes))


def _same(a: float, b: float) -> bool:
    return (isnan(a) and isnan(b)) or isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE)


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file)) or [[]]


def _cells(path: Path) -> dict[str, tuple[float, ...]]:
    """Value and interval of each cell by the names of its row and column."""
    head, *rows = _rows(path)
    numbers = [head.index(name) for name in NUMBERS]
    names = slice(0, head.index("column") + 1)
    return {" ".join(row[names]): tuple(float(row[place]) for place in numbers) for row in rows}
