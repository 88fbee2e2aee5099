"""Reading the small tables that describe data sets, with errors that name the file and what it lacks."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path

from xiqa.errors import DatasetError

__all__ = ["number", "read_rows"]


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


def read_rows(table: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header.

    Args:
        table: The file, UTF-8 with or without a byte order mark.
        columns: Names that the header must have.

    Raises:
        DatasetError: The file is absent, is no text, or lacks a column.
    """
    if not table.is_file():
        raise DatasetError("no table of the data set", expected=str(table), todo="check the folder")
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            header = reader.fieldnames or []
            missing = [name for name in columns if name not in header]
            if missing:
                raise DatasetError(
                    f"{table.name} lacks columns", expected=", ".join(missing), got=", ".join(header)
                )
            return list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"cannot read {table.name}", expected="CSV text in UTF-8", got=str(error)
        ) from None
