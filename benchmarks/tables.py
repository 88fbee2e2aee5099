"""Results as tables: one writer of CSV for all benchmarks and studies."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["told", "write_lines", "write_rows"]


def told(rows: Iterable[Mapping[str, object]]) -> Iterator[Mapping[str, object]]:
    """The rows, each printed when it is measured."""
    for row in rows:
        print(*row.values(), sep="\t", flush=True)
        yield row


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Results as CSV, a line a row, with the first row's names."""
    write_lines(path, list(rows[0]), [[row[name] for name in rows[0]] for row in rows])


def write_lines(path: Path, names: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Results as CSV, a line of names first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([names, *lines])
