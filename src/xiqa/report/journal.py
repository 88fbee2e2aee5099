"""A journal of results: one line an image, on the disk before it is said to be done.

Whatever ends a run, every line that was written is whole, and the next run goes on from there. Lines are
written at once, so that they outlive the process, and brought to the disk in groups, so that they outlive a
power cut.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from xiqa.codec import Travels
from xiqa.errors import OutputError, XiqaError
from xiqa.files import FileIdentity, writing
from xiqa.report.index import Index, Known, settings_of
from xiqa.types import Assessment, result_key

__all__ = ["Entry", "Journal", "slot_of"]

# A group of lines is brought to the disk when it is so large, or the last one was so long ago.
GROUP, SECONDS = 256, 0.25


@dataclass(frozen=True, slots=True)
class Entry(Travels):
    """One line.

    Attributes:
        path: The file's absolute path.
        result: What was said of the image, without its map.
        picture: Stem of the picture files, or an empty string.
    """

    path: str
    result: Assessment
    picture: str = ""

    @property
    def slot(self) -> str:
        """See `slot_of`."""
        return slot_of(self.path, self.result.frame, self.result.provenance)


def slot_of(path: str, frame: int, settings: Mapping[str, Any]) -> str:
    """Which result another one replaces: the older of the same file, frame, model and method.

    What the file held does not count here, nor do settings that only add to a result: the latest is shown.
    """
    return result_key(path, frame, {name: settings.get(name) for name in ("model_hash", "method")})


class Journal:
    """The lines of ``results.jsonl``, the latest of each `slot_of`; in memory is where they lie and no line.

    A line that a crash cut short is dropped when the journal is opened.

    Args:
        path: The file; made when the first line is written.
        on_disk: Called with the number of lines that have come to the disk since the last call.

    Attributes:
        index: Where the lines are and in which order they are told.
    """

    def __init__(self, path: Path, on_disk: Callable[[int], None] = lambda lines: None) -> None:
        self.path, self.on_disk, self.index = path, on_disk, Index()
        self._file: IO[bytes] | None = None
        self._waiting, self._safe, self._last = 0, 0, 0.0
        with writing(path):
            self._open()

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[Entry]:
        """The entries, worst first."""
        return self.read(self.index.offsets())

    def _open(self) -> None:
        """Take in what is there, and cut off a line that is not whole."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file, self.index.together():
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                self._take(line, number)
                self._safe += len(line)
        if self._safe < self.path.stat().st_size:
            os.truncate(self.path, self._safe)

    def _take(self, line: bytes, number: int) -> None:
        try:
            self.index.put(json.loads(line), self._safe)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(f"line {number}", error) from error

    def _damaged(self, where: str, error: Exception) -> OutputError:
        return OutputError(
            f"{self.path} is damaged in {where}, or of another version of xiqa",
            expected="the results of an earlier run",
            got=type(error).__name__,
            todo="move it away or choose another folder with --out",
        )

    def read(self, offsets: Iterator[int]) -> Iterator[Entry]:
        """The entries whose lines begin there, one at a time.

        Raises:
            OutputError: A line is none.
        """
        file: IO[bytes] | None = None
        try:
            for offset in offsets:
                file = file or self.path.open("rb")
                file.seek(offset)
                try:
                    yield Entry.from_dict(json.loads(file.readline()))
                except (ValueError, XiqaError) as error:
                    raise self._damaged(f"the line at byte {offset}", error) from error
        finally:
            if file is not None:
                file.close()

    def known(self, path: str, frame: int, settings: Mapping[str, Any]) -> Known | None:
        """`find`, without reading the line."""
        known = self.index.find(path, frame, settings)
        if known is None or known.settings != settings_of(settings):
            return None
        now = FileIdentity.of(path)
        same = now is not None and (known.size, known.modified) == (now.size, now.modified)
        return known if same else None

    def find(self, path: str, frame: int, settings: Mapping[str, Any]) -> Entry | None:
        """What is known of a frame of a file that is still the same, with these very settings; or None.

        Args:
            path: The file's absolute path.
            frame: Of the file, or `WHOLE` for the row of a series.
            settings: What every result of a run depends on; see `result_key`.
        """
        known = self.known(path, frame, settings)
        return None if known is None else next(self.read(iter([known.offset])))

    def latest(self, path: str, frame: int, settings: Mapping[str, Any]) -> Entry | None:
        """The same, whatever became of the file and with whatever it was made."""
        known = self.index.find(path, frame, settings)
        return None if known is None else next(self.read(iter([known.offset])))

    def add(self, entry: Entry) -> None:
        """Append one line; see `commit`."""
        data = entry.to_dict()
        line = json.dumps(data, allow_nan=False).encode("ascii") + b"\n"
        with writing(self.path):
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            start = self._file.tell()
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                os.truncate(self.path, start)  # a full disk may have taken half of it
                raise
        self.index.put(data, start)
        self._waiting += 1
        if self._waiting >= GROUP or time.monotonic() - self._last >= SECONDS:
            self.commit()

    def commit(self) -> None:
        """Wait until all lines are on the disk, and tell of them; `add` does so now and then.

        Raises:
            OutputError: The disk has not taken them. Those that are not told of are gone.
        """
        if self._file is None or not self._waiting:
            return
        with writing(self.path):
            try:
                os.fsync(self._file.fileno())
            except OSError:
                os.truncate(self.path, self._safe)
                self.index.drop_from(self._safe)
                self._waiting = 0
                raise
        lines, self._waiting = self._waiting, 0
        self._safe, self._last = self._file.tell(), time.monotonic()
        self.on_disk(lines)

    def close(self) -> None:
        """Bring the rest to the disk and let go of the file."""
        try:
            self.commit()
        finally:
            if self._file is not None:
                self._file.close()
                self._file = None
