"""Rows in Parquet, a file a block of work, written so that a run may end anywhere and begin anywhere.

A block's file has a temporary name until it is whole and then one that follows from what is in the block,
so that a block that is done twice replaces itself. Each row says which file it is of (address, size, stamp)
and what it was made with; whoever goes on needs these columns alone and reads no image.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xiqa.engines.sources import Item
from xiqa.errors import MissingDependencyError, OutputError
from xiqa.files import writing
from xiqa.types import WHOLE, Assessment, Verdict, result_key

__all__ = ["Store"]

_KNOWN = ("item", "done")


class Store:
    """The rows below a folder, which several processes may write at once.

    Args:
        folder: Seen by all of them; made when the first block is written.
        settings: What every result depends on; see `xiqa.types.result_key`.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings = folder / "rows", dict(settings)

    def item_key(self, item: Item) -> bytes:
        """Names a file as it is now and what it is assessed with, without its content."""
        return hashlib.sha256(json.dumps([*item, result_key("", 0, self.settings)]).encode("ascii")).digest()[
            :16
        ]

    def write(self, block: Sequence[Item], rows: Iterable[tuple[Item, Assessment]]) -> Path:
        """Write the rows of a block; the same block again replaces them.

        Args:
            block: What was to be assessed.
            rows: An assessment for each image of it; for a file of several frames as many, and its own.

        Returns:
            The file.

        Raises:
            OutputError: It cannot be written.
        """
        arrow, parquet = _arrow()
        now = time.time_ns()
        table = arrow.Table.from_pylist([self._row(item, row, now) for item, row in rows], _schema(arrow))
        name = hashlib.sha256(b"".join(map(self.item_key, block))).hexdigest()[:32]
        path = self.folder / f"{name}.parquet"
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = self.folder / f".{name}.{os.getpid()}.tmp"
            parquet.write_table(table, temporary, compression="zstd")
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        return path

    def done(self) -> set[bytes]:
        """`item_key` of what is assessed; 16 bytes an image are held, and no row is read."""
        keys: set[bytes] = set()
        for file in self.files():
            table = self._read(file, _KNOWN).to_pydict()
            good = {item for item, done in zip(table["item"], table["done"], strict=True) if done}
            keys |= good - {item for item, done in zip(table["item"], table["done"], strict=True) if not done}
        return keys

    def fresh(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items without a row of now and of these settings; what could not be read is tried again."""
        known = self.done()
        return (item for item in items if self.item_key(item) not in known)

    def files(self) -> list[Path]:
        """The files of all blocks, oldest first."""
        found = self.folder.glob("[!.]*.parquet") if self.folder.is_dir() else ()
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def rows(self) -> Iterator[tuple[str, Assessment]]:
        """(address, assessment) of the latest of each file and frame, model and method, a block at a time."""
        latest = self._latest()
        for number, file in enumerate(self.files()):
            for place, row in enumerate(self._read(file, ("uri", "slot", "result")).to_pylist()):
                if latest[row["slot"]] == (number, place):
                    yield row["uri"], Assessment.from_dict(json.loads(row["result"]))

    def has_series(self) -> bool:
        """Whether any row is that of a series."""
        return any(WHOLE in self._read(file, ("frame",)).to_pydict()["frame"] for file in self.files())

    def poor(self) -> Iterator[tuple[float, str]]:
        """(probability below zero, address) of the images that are to be acquired again."""
        for file in self.files():
            for row in self._read(file, ("verdict", "probability", "uri")).to_pylist():
                if row["verdict"] == Verdict.REACQUIRE:
                    yield -row["probability"], row["uri"]

    def _latest(self) -> dict[bytes, tuple[int, int]]:
        """In which file, and where there, the latest row of each slot is."""
        latest: dict[bytes, tuple[int, int]] = {}
        for number, file in enumerate(self.files()):
            for place, slot in enumerate(self._read(file, ("slot",)).to_pydict()["slot"]):
                latest[slot] = number, place
        return latest

    def _read(self, file: Path, columns: Sequence[str]) -> Any:
        _, parquet = _arrow()
        try:
            return parquet.ParquetFile(file).read(list(columns))
        except (OSError, ValueError, KeyError) as error:
            raise OutputError(
                f"{file} is damaged, or of another version of xiqa",
                got=str(error),
                todo="remove it and go on",
            ) from error

    def _row(self, item: Item, result: Assessment, now: int) -> dict[str, Any]:
        """A row's columns."""
        slot = [item.uri, result.frame, self.settings.get("model_hash"), self.settings.get("method")]
        first = result.findings[0] if result.findings else None
        return {
            "key": result_key(result.source.digest, result.frame, self.settings),
            "item": self.item_key(item),
            "slot": hashlib.sha256(json.dumps(slot).encode("ascii")).digest()[:16],
            "uri": _text(item.uri),
            "size": item.size,
            "stamp": item.stamp,
            "digest": result.source.digest,
            "frame": result.frame,
            "done": result.probability is not None,
            "verdict": result.verdict.value,
            "code": result.code.value,
            "probability": result.probability,
            "peak_x": None if first is None else first.peak.x,
            "peak_y": None if first is None else first.peak.y,
            "written": now,
            "result": json.dumps(result.to_dict(), allow_nan=False),
        }


def _text(name: str) -> str:
    """A name as UTF-8 holds it; what is no Unicode is told by its bytes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _schema(arrow: Any) -> Any:
    """The columns."""
    kinds: dict[Any, str] = {
        arrow.binary(16): "item slot",
        arrow.string(): "key uri stamp digest verdict code result",
        arrow.int64(): "size frame written",
        arrow.float64(): "probability peak_x peak_y",
        arrow.bool_(): "done",
    }
    return arrow.schema([(name, kind) for kind, names in kinds.items() for name in names.split()])


def _arrow() -> tuple[Any, Any]:
    """PyArrow and its module for Parquet."""
    try:
        import pyarrow  # noqa: PLC0415 - for the store alone
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            "rows in Parquet need PyArrow", todo='pip install "xiqa[ray]"'
        ) from error
    return pyarrow, pyarrow.parquet
