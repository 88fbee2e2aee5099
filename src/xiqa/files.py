"""Writing files so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xiqa.errors import OutputError

__all__ = ["write_atomic", "writing"]

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
