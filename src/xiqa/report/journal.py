"""A journal of results: one line an image, on the disk before the next image is begun.

Whatever ends a run, every line that was written is whole, and the next run goes on from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xiqa.codec import Travels
from xiqa.errors import OutputError, XiqaError
from xiqa.files import FileIdentity, writing
from xiqa.types import Assessment, result_key

__all__ = ["Entry", "Journal", "slot_of"]


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


@dataclass(slots=True)
class Journal:
    """The lines of ``results.jsonl``, the latest of each `slot_of`.

    A line that a crash cut short is dropped when the journal is opened.

    Args:
        path: The file; made when the first line is written.
    """

    path: Path
    entries: dict[str, Entry] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        with writing(self.path):
            content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            entry = self._parse(line, number)
            self.entries[entry.slot] = entry
        if len(whole) < len(content):
            with writing(self.path):
                os.truncate(self.path, len(whole))

    def _parse(self, line: bytes, number: int) -> Entry:
        try:
            return Entry.from_dict(json.loads(line))
        except (ValueError, XiqaError) as error:
            raise OutputError(
                f"{self.path} is damaged in line {number}, or of another version of xiqa",
                expected="the results of an earlier run",
                got=type(error).__name__,
                todo="move it away or choose another folder with --out",
            ) from error

    def find(self, path: str, frame: int, settings: Mapping[str, Any]) -> Entry | None:
        """What is known of a frame of a file that is still the same, with these very settings; or None.

        Args:
            path: The file's absolute path.
            frame: Of the file, or `WHOLE` for the row of a series.
            settings: What every result of a run depends on; see `result_key`.
        """
        entry = self.entries.get(slot_of(path, frame, settings))
        if entry is None:
            return None
        source, now = entry.result.source, FileIdentity.of(path)
        same = now is not None and (source.size, source.modified) == (now.size, now.modified)
        return entry if same and entry.result.key == result_key(source.digest, frame, settings) else None

    def add(self, entry: Entry) -> None:
        """Append one line and wait until it is on the disk."""
        line = json.dumps(entry.to_dict(), allow_nan=False).encode("ascii") + b"\n"
        with writing(self.path), self.path.open("ab", buffering=0) as file:
            start = file.tell()
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self.path, start)  # a full disk may have taken half of it
                raise
        self.entries[entry.slot] = entry
