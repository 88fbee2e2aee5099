"""Files: written so that a crash leaves the old one or the new one, told apart by their content."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xiqa.errors import OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FileIdentity", "bytes_digest", "file_digest", "regular_bytes", "write_atomic", "writing"]

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


def write_atomic(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file as a whole: into a temporary neighbour, to the disk, then renamed over the old one.

    Args:
        path: The file.
        content: Its bytes, or pieces of them.
    """
    with writing(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines([content] if isinstance(content, bytes) else content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise


def regular_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """A regular file's bytes; a pipe, a device or a socket is not waited for.

    Args:
        path: The file.
        most: Largest size.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger; also where it grows while it is read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        content = file.read(most + 1) if status.st_size <= most else b""
    if max(status.st_size, len(content)) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes")
    return content


class FileIdentity(NamedTuple):
    """By what a file is told from another without reading it: a replaced or changed one differs.

    Attributes:
        device: Of the file system.
        inode: Of the file there.
        size: In bytes.
        modified: Time of the last change, nanoseconds.
    """

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> FileIdentity | None:
        """The file's identity now; None where there is none to look at."""
        try:
            status = os.stat(path)  # noqa: PTH116 - keeps names that are not valid Unicode as they are
        except (OSError, ValueError):
            return None
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_digest(*arrays: NDArray[Any]) -> str:
    """SHA-256 of arrays: their types, shapes and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
