"""A journal of results: one line an image, on the disk before the next image is begun.

Whatever ends a run, every line that was written is whole, and the next run goes on from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xiqa.errors import OutputError
from xiqa.files import writing

__all__ = ["Entry", "Journal", "identity"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line.

    Attributes:
        identity: What the result depends on: file, its size and time, and the settings of the run.
        row: The result; see `xiqa.report.rows.to_row`.
        picture: Stem of the picture files, or an empty string.
        image_size: (rows, columns) of the original.
    """

    identity: Mapping[str, Any]
    row: Mapping[str, Any]
    picture: str = ""
    image_size: tuple[int, int] = (0, 0)


def identity(file: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a result depends on; a file that was changed, or another model or method, differs in it."""
    path = os.path.abspath(file)  # noqa: PTH100 - keeps names that are not valid Unicode as they are
    try:
        stat = os.stat(path)  # noqa: PTH116
    except OSError:
        size, changed = -1, -1
    else:
        size, changed = stat.st_size, stat.st_mtime_ns
    return {"path": path, "size": size, "changed": changed, **settings}


@dataclass(slots=True)
class Journal:
    """The lines of ``results.jsonl``, the latest for each file.

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
            self.entries[entry.identity["path"]] = entry
        if len(whole) < len(content):
            with writing(self.path):
                os.truncate(self.path, len(whole))

    def _parse(self, line: bytes, number: int) -> Entry:
        try:
            value = json.loads(line)
            return Entry(value["identity"], value["row"], value["picture"], tuple(value["image_size"]))
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{self.path} is damaged in line {number}",
                expected="the results of an earlier run",
                got=type(error).__name__,
                todo="move it away or choose another folder with --out",
            ) from error

    def holds(self, wanted: Mapping[str, Any]) -> bool:
        """Whether the same file was done with the same settings."""
        entry = self.entries.get(wanted["path"])
        return entry is not None and dict(entry.identity) == dict(wanted)

    def add(self, entry: Entry) -> None:
        """Append one line and wait until it is on the disk."""
        line = json.dumps(asdict(entry), allow_nan=False).encode("ascii") + b"\n"
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
        self.entries[entry.identity["path"]] = entry
