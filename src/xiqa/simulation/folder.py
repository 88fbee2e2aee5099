"""Folders of simulated images: claimed once, described by tables that are written whatever happens."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image as Pillow

from xiqa.errors import DatasetError
from xiqa.types import Image, Split

__all__ = ["SimulatedFolder", "split_of", "write_png"]


def split_of(seed: int) -> Split:
    """Eight of ten seeds train, one validates, one tests.

    >>> [split_of(seed) for seed in (7, 8, 9, 10)]
    ['train', 'val', 'test', 'train']
    """
    splits: tuple[Split, ...] = (*("train",) * 8, "val", "test")
    return splits[seed % 10]


def write_png(image: Image, path: Path) -> None:
    """Write a grey image in 8 bits."""
    grey = np.rint(np.clip(image.pixels, 0, 1) * 255).astype(np.uint8)
    Pillow.fromarray(grey).save(path)


class SimulatedFolder:
    """A folder that a simulation fills, with its tables; to be used in a ``with`` statement.

    Args:
        folder: Where to; made where absent.
        tables: Columns of each table. By the first one's header an earlier simulation is known.
        parts: Folders of files, which are cleared.
        force: Replace what an earlier simulation of the same kind left.

    Raises:
        DatasetError: If the folder is a file, or not empty and not to be replaced, or holds anything else.
    """

    def __init__(
        self, folder: Path, tables: Mapping[str, Sequence[str]], parts: Sequence[str], *, force: bool = False
    ) -> None:
        self.folder, self.tables = folder, tables
        self.rows: dict[str, list[Mapping[str, Any]]] = {table: [] for table in tables}
        first = next(iter(tables))
        _claim(folder, first, tables[first], parts, force=force)

    def describe(self, table: str, values: Sequence[Any]) -> None:
        """Add a row to a table, its values in the order of the columns."""
        self.rows[table].append(dict(zip(self.tables[table], values, strict=True)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the tables; also of what was done before an error, so that what is there is described."""
        for table, columns in self.tables.items():
            _write_table(self.folder / table, columns, self.rows[table])


def _claim(folder: Path, table: str, columns: Sequence[str], parts: Sequence[str], *, force: bool) -> None:
    """Make a folder for a simulation, or clear what an earlier simulation of the same kind left in it.

    Args:
        folder: Where to.
        table: Name of the table by whose header an earlier simulation is known.
        columns: That header.
        parts: Folders to clear.
        force: Whether a folder that is not empty may be cleared.

    Raises:
        DatasetError: If the folder is a file, or not empty and not to be replaced, or holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"cannot write to {folder}", expected="a folder", got="a file")
    if folder.is_dir() and any(folder.iterdir()):
        if not force:
            raise DatasetError(f"{folder} is not empty", todo="choose another folder, or add --force")
        known = folder / table
        header = known.read_text(encoding="utf-8").splitlines()[:1] if known.is_file() else []
        if header != [",".join(columns)]:  # never clear away what somebody else put there
            raise DatasetError(f"{folder} does not hold simulated images", todo="choose another folder")
        for name in parts:
            shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file with a header."""
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
