"""`xiqa serve check`: try everything a node depends on, and say what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from xiqa.errors import XiqaError
from xiqa.service.node import open_store
from xiqa.service.rules import Model
from xiqa.service.settings import Peer, Settings
from xiqa.service.tls import Tls
from xiqa.service.work.assessor import Assessor

__all__ = ["Finding", "check"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried.

    Attributes:
        part: What.
        good: Whether it works.
        detail: What there is to say.
    """

    part: str
    good: bool
    detail: str = ""


def check(settings: Settings) -> Iterator[Finding]:
    """Try disk, database, audit trail, certificates, peers and models, one after the other."""
    yield _tried("disk", lambda: _disk(settings))
    yield _tried("database", lambda: _database(settings))
    yield _tried("token", lambda: "set" if settings.api.token() else "none (loopback only)")
    for name, tls in (("intake", settings.intake.tls), ("api", settings.api.tls)):
        if tls is not None:
            yield _tried(f"certificates of {name}", partial(_certificate, tls))
    for peer in settings.peers:
        yield _tried(f"peer {peer.name}", partial(_answers, peer, settings.intake.title))
    for name, model in settings.models.items():
        yield _tried(f"model {name}", partial(_model, settings, model))
    unused = set(settings.models) - {rule.model for rule in settings.rules}
    if settings.models and unused:
        yield Finding("rules", False, f"no rule names the model {', '.join(sorted(unused))}")
    if not settings.rules:
        yield Finding("rules", False, "there are none: everything is forwarded, nothing assessed")


def _tried(part: str, what: Callable[[], str]) -> Finding:
    try:
        return Finding(part, True, what())
    except (XiqaError, OSError, SQLAlchemyError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Finding(part, False, text[:300])


def _disk(settings: Settings) -> str:
    """Space, and whether the folder can be written and synced."""
    folder: Path = settings.node.folder
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".check-{os.getpid()}"
    with probe.open("wb") as file:
        file.write(b"xiqa")
        os.fsync(file.fileno())
    probe.unlink()
    state = os.statvfs(folder)
    free = state.f_bavail * state.f_frsize >> 20
    if free <= settings.node.keep_free_mb:
        raise OSError(
            f"{free} MB are free, of which {settings.node.keep_free_mb} MB must stay free: it takes nothing"
        )
    return f"{free - settings.node.keep_free_mb} MB for images"


def _database(settings: Settings) -> str:
    store = open_store(settings)
    try:
        broken = store.trail.broken()
        if broken is not None:
            raise OSError(f"the audit trail was changed: row {broken} does not follow the one before it")
        return f"the audit trail is whole, its head is {store.trail.head()}"
    finally:
        store.database.close()


def _certificate(tls: Tls) -> str:
    tls.server()
    return str(tls.certificate)


def _answers(peer: Peer, calling: str) -> str:
    problem = peer.archive(calling).echo()
    if problem:
        raise OSError(problem)
    return "it answers"


def _model(settings: Settings, model: Model) -> str:
    assessor = Assessor(settings.assessing, model.threads)
    try:
        assessor.load(model)
    finally:
        assessor.close()
    return f"{model.path or model.call} loads"
