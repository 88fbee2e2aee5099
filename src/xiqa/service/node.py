"""The node: everything put together, started and stopped in order."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter

from xiqa.dicom.net.instance import Instance, split_part10
from xiqa.dicom.net.scp import Arrivals, StoreServer
from xiqa.dicom.net.spool import Spool, Stored
from xiqa.service.metrics import Metrics
from xiqa.service.records.database import Database
from xiqa.service.records.store import Store
from xiqa.service.settings import Settings
from xiqa.service.work.assessing import Assessing, clear_results
from xiqa.service.work.delivering import Courier
from xiqa.service.work.hooks import Teller
from xiqa.service.work.intake import Intake
from xiqa.service.work.loops import Loop
from xiqa.service.work.rejecting import Rejecter
from xiqa.service.work.retention import Retention
from xiqa.service.work.watching import Watcher

__all__ = ["Node", "open_store"]

_LOG = logging.getLogger(__name__)
_SUSPICIOUS = ("conflict", "title", "address", "mismatch", "memory", "pdu_too_long", "message_too_long")


def open_store(settings: Settings) -> Store:
    """The database of a configuration, brought to this version."""
    settings.node.folder.mkdir(parents=True, exist_ok=True)
    database = Database(settings.node.url)
    database.upgrade()
    return Store(database)


class Node:
    """A running node.

    Args:
        settings: Checked.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = threading.Event()
        folder = settings.node.folder
        self.store = open_store(settings)
        self.owner = f"{settings.node.name}@{socket.gethostname()}"[:64]
        keep_free = settings.node.keep_free_mb << 20
        self.spool = Spool(folder / "spool", keep_free) if settings.node.receive else None
        self.intake = self._intake()
        self.metrics = Metrics(self.store, self._free, self._behind)
        self.server = self._server()
        self._refused: Counter[tuple[str, str]] = Counter()
        self.loops = self._loops()

    def _intake(self) -> Intake | None:
        if self.spool is None:
            return None
        return Intake(
            self.spool,
            self.store,
            self.settings.wanted(),
            conflict=lambda uid: self.store.note("alert", uid, outcome="failure", detail="conflict"),
            added=self.wake,
        )

    def _server(self) -> StoreServer | None:
        if self.spool is None:
            return None
        wanted = self.settings.intake
        return StoreServer(
            self.spool,
            title=wanted.title,
            address=(wanted.host, wanted.port),
            titles=wanted.titles,
            senders=wanted.senders,
            limits=wanted.limits,
            tls=None if wanted.tls is None else wanted.tls.server(),
            arrivals=Arrivals(self.store.known, self._stored, self.not_taken),
            more_classes=wanted.more_classes,
        )

    def _loops(self) -> list[Loop]:
        """What works beside the server: forwarding first."""
        settings, store, folder = self.settings, self.store, self.settings.node.folder
        loops = []
        for peer in settings.peers:
            archive = peer.archive(settings.intake.title)
            courier = Courier(peer, archive, store, folder, self.owner)
            loops += [
                Loop(f"forward-{peer.name}", courier.step_forward),
                Loop(f"deliver-{peer.name}", courier.step_deliver),
            ]
            if peer.rejections:
                rejecter = Rejecter(peer, archive, store, folder, self.owner, settings.assessing)
                loops.append(Loop(f"reject-{peer.name}", rejecter.step_reject, last=rejecter.close))
        loops += [Loop(f"hook-{hook.name}", Teller(hook, store, self.owner).step) for hook in settings.hooks]
        for number in range(settings.assessing.workers):
            assessing = Assessing(settings, store, self.owner, self._assessed)
            loops.append(
                Loop(f"assess-{number}", assessing.step, first=assessing.prepare, last=assessing.close)
            )
        loops.append(Loop("refusals", self._note_refusals, every=5.0, last=self._note_refusals))
        if self.spool is not None:
            retention = Retention(settings.node, store, self.spool)
            loops.append(Loop("retention", retention.sweep, every=60.0, first=retention.remove_left_over))
            watchers = [Watcher(path, self.take_in) for path in settings.intake.watch]
            loops += [Loop(f"watch-{number}", watcher.step) for number, watcher in enumerate(watchers)]
        return loops

    # life

    def start(self) -> None:
        """Begin: first what an earlier life has left, then work, then the doors."""
        freed = self.store.queue.free(self.owner)
        clear_results(self.store, self.settings.node)
        self.store.note("start", self.owner, detail=f"{freed} leases freed")
        if self.intake is not None:
            self.intake.start()
        for loop in self.loops:
            loop.start()
        if self.server is not None:
            self.server.start()
        _LOG.info("the node has started", extra={"head": self.store.trail.head(), "count": freed})

    def stop(self) -> None:
        """End: first the doors, then work; what is not done is done after the next start."""
        self.stopping.set()
        if self.server is not None:
            self.server.stop()
        if self.intake is not None:
            self.intake.stop()
        for loop in self.loops:
            loop.stop()
        self.store.note("stop", self.owner)
        _LOG.info("the node has stopped", extra={"head": self.store.trail.head()})
        if self.spool is not None:
            self.spool.close()
        self.store.database.close()

    def wake(self) -> None:
        """There may be work for every loop."""
        for loop in self.loops:
            loop.wake()

    # what comes in

    def take_in(self, content: bytes, source: str, address: str = "") -> Instance:
        """Keep a DICOM file that came by another way than C-STORE; safe when this returns.

        Raises:
            NetworkError: It is not taken; ``code`` says why.
        """
        assert self.spool is not None
        found = split_part10(content)
        instance = Instance(
            found.sop_class, found.uid, found.transfer_syntax, found.content, source[:16], "", address
        )
        self._stored(instance, self.spool.store(instance, self.store.known(instance.uid)))
        return instance

    def _stored(self, instance: Instance, stored: Stored) -> None:
        self.metrics.received.labels(str(not stored.fresh).lower()).inc()
        self.metrics.bytes.inc(stored.size)
        if self.intake is not None:
            self.intake.arrived(instance, stored)

    def not_taken(self, code: str, address: str) -> None:
        """Count an object or a connection that was refused."""
        self.metrics.refused.labels(code).inc()
        if code in _SUSPICIOUS and len(self._refused) < 1000:
            self._refused[code, address] += 1

    def _note_refusals(self) -> bool:
        """Put what was refused into the audit trail, summed up so that an attack cannot fill the disk."""
        refused, self._refused = self._refused, Counter()
        for (code, address), number in refused.items():
            self.store.note("alert", address, outcome="failure", detail=f"{code} x {number}")
        return False

    def _assessed(self, verdict: str, received: float) -> None:
        self.metrics.assessed.labels(verdict).inc()
        self.metrics.turnaround.observe(max(0.0, time.time() - received))
        self.wake()

    # how it is

    def _free(self) -> int:
        return self.spool.free() if self.spool is not None else 0

    def _behind(self) -> bool:
        return self.intake is not None and self.intake.behind.is_set()

    def problems(self) -> dict[str, str]:
        """What keeps the node from its work: part and problem; empty when it is ready."""
        found = {"database": self.store.database.answers()}
        if self.spool is not None:
            found["disk"] = "" if self.spool.has_room() else "the watermark is reached"
            found["rows"] = "files are without rows" if self._behind() else ""
        found |= {loop.name: loop.failing for loop in self.loops}
        return {part: problem for part, problem in found.items() if problem}
