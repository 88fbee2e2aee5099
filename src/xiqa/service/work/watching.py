"""A folder whose DICOM files are taken in."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from xiqa.errors import NetworkError

__all__ = ["Watcher"]

_LARGEST = 2**31
_QUIET = 2.0  # seconds for which a file must not have changed


class Watcher:
    """Takes files in once nobody writes to them any more, then removes them.

    What is not taken goes to a folder ``refused`` beside the files. Links are never followed.

    Args:
        folder: The folder; subfolders are looked at too.
        take_in: Keeps a file's content; see `xiqa.service.node.Node.take_in`.
    """

    def __init__(self, folder: Path, take_in: Callable[[bytes, str], object]) -> None:
        self._folder, self._take_in = folder, take_in
        self._refused = folder / "refused"

    def step(self) -> bool:
        """Take in what lies ready; False where nothing does."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return sum(self._take(path) for path in self._ready()) > 0

    def _ready(self) -> list[Path]:
        """Plain files that have rested; at most a hundred at a time."""
        found: list[Path] = []
        for parent, folders, names in os.walk(self._folder, followlinks=False):
            if Path(parent) == self._folder and "refused" in folders:
                folders.remove("refused")
            found += [path for name in names if _rests(path := Path(parent) / name)]
            if len(found) >= 100:
                break
        return found[:100]

    def _take(self, path: Path) -> bool:
        """Whether a file was dealt with; one that has to wait (the disk is full) stays where it is."""
        try:
            content = _read(path)
            self._take_in(content, "WATCHED")
        except NetworkError as error:
            if error.code in ("full", "disk"):
                return False
            self._refused.mkdir(exist_ok=True)
            path.replace(self._refused / f"{time.time_ns()}-{error.code}")
        except OSError:  # it is gone, or not ours to read
            return False
        else:
            path.unlink()
        return True


def _rests(path: Path) -> bool:
    try:
        state = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode) and time.time() - state.st_mtime > _QUIET


def _read(path: Path) -> bytes:
    """A file's content, not through a link that has taken its place meanwhile."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(file.fileno()).st_size > _LARGEST:
            raise NetworkError("the file is too large", code="too_large")
        return file.read()
