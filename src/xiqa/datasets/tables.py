"""Reading the small tables that describe data sets, with errors that name the file and what it lacks."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from xiqa.errors import DatasetError

__all__ = ["header_of", "number", "numbered_rows", "read_rows"]


def number(text: str | float) -> float:
    """A cell's number.

    Raises:
        ValueError: It is none, or not finite.

    >>> number("4.5")
    4.5
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not finite")
    return value


def read_rows(table: Path, columns: Iterable[str], *, optional: Iterable[str] = ()) -> list[dict[str, str]]:
    """The rows of a table with a header.

    Columns are separated by commas, semicolons, tabs or bars, whichever the header has most of. A column's
    name counts in any capitals and without the blanks around it; those that are not named here come in small
    letters.

    Args:
        table: The file, UTF-8 or UTF-16, with or without a byte order mark.
        columns: Names that the header must have.
        optional: Names that it may have, spelt as they are to be found in the rows.

    Raises:
        DatasetError: The file is absent, is no text, lacks a column, or has a row of more cells than columns.
    """
    names = list(columns)
    rows = [row for _, row in numbered_rows(table, [*names, *optional])]
    missing = [name for name in names if name not in header_of(table, names)]
    if missing:
        raise DatasetError(
            f"{table.name} lacks columns",
            expected=", ".join(missing),
            got=", ".join(header_of(table)),
            todo="name the columns in the first line",
        )
    return rows


def numbered_rows(table: Path, names: Iterable[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """(line, row) of a table; see `read_rows`."""
    lines = _lines(table)
    header = _spelt(next(lines, (0, []))[1], names)
    columns = []
    for number, cells in lines:
        if len(cells) > len(header):
            raise DatasetError(
                f"{table.name}, line {number}: more cells than columns",
                expected=f"{len(header)}: {', '.join(header)}",
                got=str(len(cells)),
                todo="put cells that hold the separator in quotes",
            )
        if any(cells):
            columns.append((number, dict(zip(header, [*cells, *[""] * len(header)], strict=False))))
    return columns


def header_of(table: Path, names: Iterable[str] = ()) -> list[str]:
    """The names of a table's columns, as `read_rows` spells them."""
    return _spelt(next(_lines(table), (0, []))[1], names)


def _spelt(header: list[str], names: Iterable[str]) -> list[str]:
    known = {name.casefold(): name for name in names}
    return [known.get(name.strip().casefold(), name.strip().lower()) for name in header]


def _lines(table: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of a table."""
    if not table.is_file():
        raise DatasetError("no table of the data set", expected=str(table), todo="check the folder")
    with table.open("rb") as raw:
        wide = raw.read(2) in (b"\xff\xfe", b"\xfe\xff")
    try:
        with table.open(newline="", encoding="utf-16" if wide else "utf-8-sig") as text:
            first = text.readline()
            named = first.strip().lower().startswith("sep=")
            mark = first.lstrip()[4:5].strip("\r\n") if named else max(",;\t|", key=first.count)
            if not named:
                text.seek(0)
            reader = csv.reader(text, delimiter=mark or ",")
            for cells in reader:
                yield reader.line_num + named, cells
    except (UnicodeError, csv.Error) as error:
        raise DatasetError(
            f"cannot read {table.name}", expected="CSV text in UTF-8", got=str(error), todo="save it as UTF-8"
        ) from None
