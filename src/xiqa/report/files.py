"""One run at a time in a folder of results."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from xiqa.errors import OutputError
from xiqa.files import writing

__all__ = ["folder_lock"]


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder against a second run; the operating system lets go when the process ends, however.

    Raises:
        OutputError: Another run holds it.
    """
    path = folder / ".lock"
    with writing(folder):
        file = path.open("a+b")
    with file:
        if not _lock(file):
            raise OutputError(
                f"{folder} is in use",
                got="another run that writes to it",
                todo="wait for it, or choose another folder with --out",
            )
        yield


def _lock(file: IO[bytes]) -> bool:
    """Take an exclusive lock without waiting; whether it was free."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl  # noqa: PLC0415

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
