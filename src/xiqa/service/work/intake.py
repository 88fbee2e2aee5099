"""From files in the spool to rows: at once when an object arrives, and for all of them at the start."""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

from pydicom.filereader import read_dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from xiqa.dicom.net.instance import Instance, read_part10
from xiqa.dicom.net.spool import Spool, Stored
from xiqa.errors import NetworkError
from xiqa.service.records.store import Store

__all__ = ["Intake", "header_of"]

_LOG = logging.getLogger(__name__)
_HEAD = 128 * 1024  # bytes; what the rules ask for stands far before
_WAITING = 512  # arrivals; beyond it the spool is looked through later instead
_LAST = Tag("Laterality")
_BATCH = 64
_LINGER = 0.1  # seconds for more to arrive: a commit costs as much as an object's own syncs
_FIELDS = {
    "study_uid": ("StudyInstanceUID", 64),
    "series_uid": ("SeriesInstanceUID", 64),
    "modality": ("Modality", 16),
    "body_part": ("BodyPartExamined", 16),
    "view": ("ViewPosition", 16),
    "station": ("StationName", 16),
    "device": ("ManufacturerModelName", 64),
    "acquired": ("AcquisitionDateTime", 32),
}
_PATIENT = ("IssuerOfPatientID", "PatientID")
_TAGS = [Tag(keyword) for keyword in (*(keyword for keyword, _ in _FIELDS.values()), *_PATIENT)]
_TIMES = [Tag(keyword) for keyword in ("AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime")]


def header_of(instance: Instance) -> dict[str, str]:
    """What the rules and the list ask of an object; empty texts where it does not say, or cannot be read."""
    syntax = UID(instance.transfer_syntax)
    try:
        ds = read_dataset(
            BytesIO(instance.content[:_HEAD]),
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=lambda tag, _vr, _length: tag > _LAST,
            specific_tags=[*_TAGS, *_TIMES],
            defer_size=4096,
        )
        found = {name: _text(ds, keyword)[:most] for name, (keyword, most) in _FIELDS.items()}
        found["acquired"] = found["acquired"] or _acquired(ds)
        found["patient"] = _patient(ds)
    except Exception:  # an object that cannot be read is forwarded all the same
        return dict.fromkeys((*_FIELDS, "patient"), "")
    return found


def _text(ds: Any, keyword: str) -> str:
    """One element as printable text."""
    value = ds.get(keyword)
    return "".join(character for character in str(value or "") if character.isprintable()).strip()


def _patient(ds: Any) -> str:
    """A name for the patient that finds earlier images and tells nothing by itself; empty where unknown."""
    issuer, number = (_text(ds, keyword) for keyword in _PATIENT)
    return hashlib.sha256(f"{issuer}\n{number}".encode()).hexdigest() if number else ""


def _acquired(ds: Any) -> str:
    """When the image was taken, as digits; the content's time where the acquisition's is not told."""
    for kind in ("Acquisition", "Content"):
        date = _text(ds, f"{kind}Date")
        if date:
            return (date + _text(ds, f"{kind}Time"))[:32]
    return ""


class Intake:
    """A thread that makes rows of files, many in one transaction.

    It is never the only one who knows of a file: what it forgets when the process dies, or cannot write
    because the database is away, is found again in the spool.

    Args:
        spool: The files.
        store: The rows.
        wanted: Jobs (kind, peer) that every instance gets.
        every: Seconds between two looks through the whole spool.
        conflict: Called with the UID of a file that cannot have a row, because it stands for another content.
        added: Called after rows and jobs were made.
    """

    def __init__(
        self,
        spool: Spool,
        store: Store,
        wanted: Sequence[tuple[str, str]],
        *,
        every: float = 300.0,
        conflict: Callable[[str], None] = lambda uid: None,
        added: Callable[[], None] = lambda: None,
    ) -> None:
        self._spool, self._store, self._wanted = spool, store, list(wanted)
        self._every, self._conflict, self._added = every, conflict, added
        self._arrived: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="xiqa-intake", daemon=True)
        self.behind = threading.Event()  # set while files may be without rows

    def start(self) -> None:
        """Begin; the first thing is a look through the spool."""
        self._thread.start()

    def stop(self) -> None:
        """End after what has arrived so far."""
        self._stopping.set()
        self._arrived.put(None)
        self._thread.join(30)

    def arrived(self, instance: Instance, stored: Stored) -> None:
        """An object lies in the spool; from any thread."""
        if self._arrived.qsize() >= _WAITING:
            self.behind.set()
        elif stored.fresh:
            row = {"sha256": stored.sha256, "size": stored.size, "path": stored.path, "received": time.time()}
            self._arrived.put(row | {"instance": replace(instance, content=instance.content[:_HEAD])})

    def _run(self) -> None:
        self.behind.set()
        while not self._stopping.is_set() or not self._arrived.empty():
            try:
                if self.behind.is_set():
                    self.reconcile()
                    self.behind.clear()
                self._add([_row(**arrival) for arrival in self._next_batch()])
            except Exception:  # the database is away: the spool keeps what it does not know
                _LOG.warning("rows cannot be written; the spool keeps the objects", exc_info=True)
                self.behind.set()
                self._stopping.wait(2)

    def _next_batch(self) -> list[Mapping[str, Any]]:
        """What has arrived; waits for the first, and looks through the spool when long nothing comes."""
        batch: list[Mapping[str, Any]] = []
        try:
            item = self._arrived.get(timeout=self._every)
            self._stopping.wait(_LINGER)
            while item is not None:
                batch.append(item)
                if len(batch) == _BATCH:
                    break
                item = self._arrived.get_nowait()
        except queue.Empty:
            if not batch:
                self.behind.set()
        return batch

    def reconcile(self) -> int:
        """Make rows of all files that have none; how many files were without."""
        missing = 0
        for batch in _batches(self._spool.files(), 500):
            known = self._store.uids([path.stem for path in batch])
            lacking = [path for path in batch if path.stem not in known]
            missing += len(lacking)
            for part in _batches(lacking, _BATCH):
                self._add([row for path in part if (row := self._found(path)) is not None])
        return missing

    def _add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        for uid in self._store.add_instances(rows, self._wanted):
            self._conflict(uid)
        self._added()

    def _found(self, path: Path) -> Mapping[str, Any] | None:
        """The row of a file that nobody has told of; None where it cannot be read."""
        try:
            stat, instance = path.stat(), read_part10(path)
        except FileNotFoundError:  # forwarded and removed meanwhile
            return None
        except (NetworkError, OSError):
            _LOG.error("a file in the spool cannot be read", extra={"path": path.name})
            return None
        relative = str(path.relative_to(self._spool.root))
        return _row(instance, instance.sha256, stat.st_size, relative, stat.st_mtime)


def _row(instance: Instance, sha256: str, size: int, path: str, received: float) -> Mapping[str, Any]:
    """The row of an object."""
    names = ("uid", "sop_class", "transfer_syntax", "source", "called", "address")
    values = {name: getattr(instance, name) for name in names}
    known = {"sha256": sha256, "size": size, "path": path, "received": received}
    return values | known | header_of(instance)


def _batches(items: Iterable[Path], size: int) -> Iterator[list[Path]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
