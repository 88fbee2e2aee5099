"""Writing results so that a crash leaves the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from xiqa.errors import OutputError

__all__ = ["folder_lock", "write_atomic", "writing"]

_ADVICE = {
    errno.ENOSPC: "free some space and run the same command again: what is done is kept",
    errno.EDQUOT: "free some space and run the same command again: what is done is kept",
    errno.EROFS: "choose another folder with --out",
    errno.EACCES: "choose another folder with --out",
    errno.ENOTDIR: "choose another folder with --out",
    errno.EEXIST: "choose another folder with --out",
}


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn an operating system's error while writing at ``place`` into one readable `OutputError`."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "look at the disk")
        raise OutputError(
            f"cannot write to {place}", got=error.strerror or str(error), todo=advice
        ) from error


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file as a whole: into a temporary neighbour, to the disk, then renamed over the old one."""
    with writing(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise


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
