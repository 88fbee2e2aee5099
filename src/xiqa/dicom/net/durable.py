"""Making what was written survive a power cut."""

from __future__ import annotations

import os
import threading
from pathlib import Path

__all__ = ["FolderSync", "sync_folder", "write_synced"]


def write_synced(path: Path, *parts: bytes | memoryview) -> None:
    """Write a new file and wait until its bytes are on the disk; half a file is removed.

    Raises:
        OSError: The disk is full, read-only or broken.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for part in parts:
                rest = memoryview(part)
                while rest:
                    rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Wait until a folder's names are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FolderSync:
    """Wait until a folder's names are on the disk, one wait for all who ask at the same time.

    A call returns after an ``fsync`` that *began* after the call, so that a name made before the call is
    safe. Callers who come while one is running share the next. An ``fsync`` that failed says nothing
    about the names of before, and the next one would not repeat it: every later call fails too.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._turn = threading.Condition()
        self._asked = self._done = 0
        self._running = False
        self._broken: OSError | None = None

    def __call__(self) -> None:
        """Wait.

        Raises:
            OSError: The disk failed, now or before.
        """
        with self._turn:
            self._asked += 1
            mine = self._asked
            while self._done < mine:
                if self._broken is not None:
                    raise OSError(self._broken.errno, "an earlier sync of this folder failed")
                if self._running:
                    self._turn.wait()
                else:
                    self._lead()

    def _lead(self) -> None:
        """Sync for all who have asked so far; called and left with the lock held."""
        covered, self._running = self._asked, True
        self._turn.release()
        broken = None
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            broken = error
        self._turn.acquire()
        self._running = False
        if broken is None:
            self._done = covered
        else:
            self._broken = broken
        self._turn.notify_all()

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._descriptor)
