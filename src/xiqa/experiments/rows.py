"""Long rows in Parquet: one file a chunk of images, so that a killed run loses nothing that was measured."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from xiqa.errors import ConfigError, OutputError

__all__ = ["COLUMNS", "RowStore", "frame_of"]

COLUMNS: Mapping[str, Any] = {
    "image": "",
    "patient": "",
    "label": 0,
    "group": "",
    "class": "",
    "outcome": "",
    "model": "",
    "state": "",
    "seed": 0,
    "model_hash": "",
    "profile": "",
    "method": "",
    "parameters": "{}",
    "layer": "",
    "smoothing": 0.0,
    "alteration": "none",
    "metric": "",
    "x": nan,
    "value": nan,
}
"""The columns of every row, and what stands where one does not apply; ``x`` is the place on a curve."""


def frame_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table with all columns in their order.

    >>> frame_of([{"image": "a", "metric": "iou", "value": 1.0}]).value.tolist()
    [1.0]
    """
    listed = list(rows)
    columns = {
        name: pd.Series([row.get(name, absent) for row in listed], dtype=_dtype(absent))
        for name, absent in COLUMNS.items()
    }
    return pd.DataFrame(columns)


def _dtype(absent: Any) -> str:
    return {str: "str", int: "int64", float: "float64"}[type(absent)]


class RowStore:
    """The parts of one run in a folder.

    Args:
        folder: The run's folder; parts lie in ``parts/`` until `gather` puts them into ``rows.parquet``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = folder / "parts"
        self.whole = folder / "rows.parquet"

    def _part(self, number: int) -> Path:
        return self.parts / f"{number:06d}.parquet"

    def has(self, number: int) -> bool:
        """Whether a part was written."""
        return self._part(number).is_file()

    def write(self, number: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write one part; it appears whole or not at all.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            self.parts.mkdir(parents=True, exist_ok=True)
            _write(self._part(number), frame_of(rows))
        except OSError as error:
            raise OutputError(f"cannot write to {self.parts}", got=str(error)) from error

    def gather(self, total: int) -> pd.DataFrame:
        """All parts in their order, also written as one file.

        Args:
            total: How many parts there are.

        Raises:
            ConfigError: A part is missing.
        """
        missing = [number for number in range(total) if not self.has(number)]
        if missing:
            raise ConfigError(
                f"{len(missing)} of {total} parts are missing in {self.parts}", todo="run with --resume"
            )
        whole = pd.concat([pd.read_parquet(self._part(number)) for number in range(total)], ignore_index=True)
        _write(self.whole, whole)
        return whole


def _write(path: Path, frame: pd.DataFrame) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        frame.to_parquet(temporary, index=False)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
