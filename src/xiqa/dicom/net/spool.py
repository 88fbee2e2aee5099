"""The folder where every acknowledged object lies until it has been forwarded.

The spool is the truth and everything else is derived from it: an object is written under a temporary name,
synced, renamed, and its folder synced, *then* it is acknowledged. A file with its final name is whole.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xiqa.dicom.net.durable import FolderSync, sync_folder, write_synced
from xiqa.dicom.net.instance import Instance, check_identity, part10, read_part10
from xiqa.errors import NetworkError

__all__ = ["Spool", "Stored"]

_FOLDERS = "0123456789abcdef"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of an object.

    Attributes:
        path: Its file, relative to the spool.
        sha256: Hash of its data set.
        size: Bytes of the file.
        fresh: False when the same content had been there before.
    """

    path: str
    sha256: str
    size: int
    fresh: bool


class Spool:
    """A folder of DICOM files that one process at a time fills; any number may read it.

    Args:
        root: The folder; made when it is absent.
        keep_free: Bytes of the disk that objects must leave free; below it nothing is taken.

    Raises:
        NetworkError: ``locked``: another process fills this spool.
    """

    def __init__(self, root: Path, keep_free: int = 0) -> None:
        self.root, self.keep_free = root, keep_free
        self._names: set[str] = set()
        self._turn = threading.Condition()
        self._arriving = root / "arriving"
        for name in ("arriving", *_FOLDERS):
            (root / name).mkdir(parents=True, exist_ok=True)
        self._lock = _exclusive(root / "lock")
        self._discard_unfinished()
        sync_folder(root)
        self._synced = {name: FolderSync(root / name) for name in _FOLDERS}

    def _discard_unfinished(self) -> None:
        """Remove what an earlier process had not finished, and so not acknowledged."""
        for path in self._arriving.iterdir():
            path.unlink()

    def close(self) -> None:
        """Let another process fill the spool."""
        for synced in self._synced.values():
            synced.close()
        os.close(self._lock)

    def store(self, instance: Instance, known: str | None = None) -> Stored:
        """Keep an object; when this returns it survives a power cut.

        Args:
            instance: The object.
            known: Hash of the content that this UID is known to have, where its file may be gone already.

        Raises:
            NetworkError: ``bad_uid``, ``unreadable``, ``mismatch``, ``full`` (below the watermark, or the
                disk filled up meanwhile), ``conflict`` (the UID belongs to another content).
        """
        check_identity(instance)
        path = self.path_of(instance.uid)
        head, digest = part10(instance), instance.sha256
        size = len(head) + len(instance.content)
        relative = str(path.relative_to(self.root))
        with self._alone(instance.uid):
            held = self._held(path) or known
            if held is None:
                self._check_room(size)
                self._write(path, head, instance.content)
            elif held != digest:
                raise _conflict(instance.uid)
        return Stored(relative, digest, size, fresh=held is None)

    def path_of(self, uid: str) -> Path:
        """Where the object with a (checked) UID lies, or would lie."""
        return self.root / hashlib.sha256(uid.encode()).hexdigest()[0] / f"{uid}.dcm"

    def files(self) -> Iterator[Path]:
        """Every object, in no order."""
        for name in _FOLDERS:
            with os.scandir(self.root / name) as entries:
                yield from (Path(entry.path) for entry in entries if entry.name.endswith(".dcm"))

    def remove(self, uid: str) -> None:
        """Forget an object's file."""
        self.path_of(uid).unlink(missing_ok=True)

    def free(self) -> int:
        """Bytes that objects may still take."""
        state = os.statvfs(self.root)
        return state.f_bavail * state.f_frsize - self.keep_free

    def has_room(self, size: int = 0) -> bool:
        """Whether an object of so many bytes would be taken."""
        return self.free() > size

    def _check_room(self, size: int) -> None:
        if not self.has_room(size):
            raise NetworkError(
                "the spool's disk is almost full",
                code="full",
                expected=f"{self.keep_free >> 20} MB to stay free",
                todo="see why nothing is forwarded, or give it more room",
            )

    def _held(self, path: Path) -> str | None:
        """Hash of the content that lies under a name."""
        return read_part10(path).sha256 if path.exists() else None

    def _write(self, path: Path, head: bytes, content: bytes) -> None:
        part = self._arriving / f"{uuid.uuid4().hex}.part"
        try:
            write_synced(part, head, content)
            part.rename(path)
            self._synced[path.parent.name]()
        except OSError as error:
            part.unlink(missing_ok=True)
            full = error.errno in _FULL
            raise NetworkError(
                "the object cannot be written", code="full" if full else "disk", got=error.strerror
            ) from error

    @contextmanager
    def _alone(self, uid: str) -> Iterator[None]:
        """Two senders of one UID come one after the other; the second sees what the first left."""
        with self._turn:
            self._turn.wait_for(lambda: uid not in self._names)
            self._names.add(uid)
        try:
            yield
        finally:
            with self._turn:
                self._names.discard(uid)
                self._turn.notify_all()


def _conflict(uid: str) -> NetworkError:
    return NetworkError(
        f"another object has the SOP Instance UID {uid}",
        code="conflict",
        expected="the same bytes as before",
        got="other bytes",
        todo="the sender must give a changed object a new UID",
    )


def _exclusive(path: Path) -> int:
    """An open lock file that no other process holds."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise NetworkError(
            f"another process fills {path.parent}", code="locked", todo="give each node its own spool"
        ) from error
    return descriptor
