"""Jobs of the kind ``assess``: choose the model, have the image looked at, keep the verdict."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xiqa.dicom.net.durable import sync_folder
from xiqa.errors import XiqaError
from xiqa.service.records.jobs import Job, LeaseLostError
from xiqa.service.records.store import Store, StoredResult, Verdict
from xiqa.service.rules import Rule, first_fit
from xiqa.service.settings import Node, Settings
from xiqa.service.work.assessor import Assessor, ChildDiedError
from xiqa.service.work.maps import map_path

__all__ = ["Assessing", "clear_results", "unfinished_of"]

_LOG = logging.getLogger(__name__)
_NOT = "not_assessed"


class Assessing:
    """Does assess jobs with a process of its own.

    Args:
        settings: The node's.
        store: Where jobs and verdicts are.
        owner: Who leases.
        assessed: Called with each verdict and the time when its image was received.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        owner: str,
        assessed: Callable[[str, float], None] = lambda verdict, received: None,
    ) -> None:
        self._settings, self._store, self._owner = settings, store, owner
        self._assessed = assessed
        self._spool = settings.node.folder / "spool"
        self._results = settings.node.folder / "results"
        self._unfinished = unfinished_of(settings.node)
        threads = max((model.threads for model in settings.models.values()), default=1)
        self._assessor = Assessor(settings.assessing, threads)

    def prepare(self) -> None:
        """Load the models, so that the first image need not wait for them."""
        for model in self._settings.models.values():
            try:
                self._assessor.load(model)
            except XiqaError:
                _LOG.warning("a model cannot be loaded", extra={"model": model.path or model.call})

    def step(self) -> bool:
        """Do one job; False where there is none."""
        queue = self._store.queue
        if not queue.has_due("assess") or self._store.switched("assessing") == "off":
            return False
        limits = self._settings.assessing
        jobs = queue.lease("assess", self._owner, limits.seconds + limits.load_seconds + 30)
        for job in jobs:
            try:
                self._do(job)
            except LeaseLostError:
                _LOG.warning("a job took longer than its lease", extra={"job": job.id})
        return bool(jobs)

    def _do(self, job: Job) -> None:
        row = self._store.instance(job.instance_id)
        rule = first_fit(self._settings.rules, row)
        if rule is None:
            self._keep(job, Verdict(_NOT, _no_rule(row)))
            return
        try:
            answer = self._ask(row, rule)
        except ChildDiedError as error:
            self._died(job, rule, str(error))
            return
        except XiqaError as error:  # the model; the image is not to blame
            with self._store.database.writing() as connection:
                self._store.queue.again(connection, job, str(error), after=30)
            return
        self._keep(job, self._verdict(answer, rule))

    def _ask(self, row: dict[str, Any], rule: Rule) -> dict[str, Any]:
        path = self._spool / row["path"]
        model = self._settings.models[rule.model]
        keep = f"{row['uid']}.map" if self._settings.page.maps else ""
        answer = self._assessor.assess(path, model, self._settings.kinds(), self._unfinished, keep)
        self._keep_map(row["uid"])
        problem = answer.get("problem", "").replace(
            str(path), "the image"
        )  # where it lies is nobody's business
        return answer | {"problem": problem}

    def _keep_map(self, uid: str) -> None:
        """Put a map where the page looks for it."""
        made = self._unfinished / f"{uid}.map"
        if made.exists():
            made.replace(map_path(self._settings.node.folder, uid))

    def _died(self, job: Job, rule: Rule, problem: str) -> None:
        """An image that kills its process is tried again, and then set aside without a verdict."""
        if job.tries < self._settings.assessing.tries:
            with self._store.database.writing() as connection:
                self._store.queue.again(connection, job, problem, after=1)
            return
        self._keep(job, Verdict(_NOT, problem, rule=rule.name), dead=True)

    def _verdict(self, answer: dict[str, Any], rule: Rule) -> Verdict:
        """What an answer says, with its result objects under their final names."""
        told = answer.get("assessment")
        if told is None:
            return Verdict(_NOT, answer["problem"], rule=rule.name)
        reason = "; ".join(part for part in (told["reason"], answer["problem"]) if part)
        return Verdict(
            told["verdict"],
            reason,
            told["probability"],
            str(told["provenance"].get("model_hash", ""))[:64],
            rule.name,
            str(told["provenance"].get("target", ""))[:64],
            json.dumps(told),
            tuple(self._named(result) for result in answer["results"]),
        )

    def _named(self, result: dict[str, str]) -> StoredResult:
        """Give a result object its name; a worker that comes second writes the same object over it."""
        name = f"{result['uid']}.dcm"
        (self._unfinished / result["file"]).replace(self._results / name)
        return StoredResult(result["kind"], result["uid"], result["sop_class"], name)

    def _keep(self, job: Job, verdict: Verdict, *, dead: bool = False) -> None:
        if verdict.results:
            sync_folder(self._results)
        then = self._settings.afterwards(with_results=bool(verdict.results))
        received = self._store.assessed(job, verdict, then, dead=dead)
        self._assessed(verdict.verdict, received)

    def close(self) -> None:
        """End the process."""
        self._assessor.close()


def _no_rule(row: dict[str, Any]) -> str:
    names = ("modality", "body_part", "view")
    known = ", ".join(f"{name.replace('_', ' ')} {row[name] or 'unknown'}" for name in names)
    return f"no rule names a model for it ({known})"


def unfinished_of(node: Node) -> Path:
    """Where this node's processes write result objects until they are whole."""
    return node.folder / "unfinished" / node.name


def clear_results(store: Store, node: Node, older: float = 3600.0) -> int:
    """Remove what an earlier life left unfinished, and old result files that no row names; how many."""
    results, unfinished = node.folder / "results", unfinished_of(node)
    for folder in (results, unfinished, node.folder / "maps"):
        folder.mkdir(parents=True, exist_ok=True)
    known, before = store.result_paths(), time.time() - older
    stale = [path for path in results.iterdir() if path.name not in known and path.stat().st_mtime < before]
    stale += unfinished.iterdir()
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)
