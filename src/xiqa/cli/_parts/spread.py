"""`xiqa assess --engine ray`: a run on an engine, its progress and what it leaves."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from xiqa.engines.sources import Item
    from xiqa.engines.store import Store
    from xiqa.engines.work import Asked, Done
    from xiqa.errors import ImageReadError
    from xiqa.types import Assessment

__all__ = ["ENGINES", "Progress", "check_engine", "only_rows", "spread"]

ENGINES = ("local", "ray")
SHOWN = 20


def check_engine(engine: str, address: str | None, workers: int | None) -> None:
    """Refuse an engine that does not exist, and what another one is told.

    Raises:
        ConfigError: It is so.
    """
    from xiqa.errors import ConfigError

    if engine not in ENGINES:
        raise ConfigError("no such engine", expected=" or ".join(ENGINES), got=repr(engine))
    if engine == "local" and (address or workers):
        raise ConfigError(
            "a local run has no workers", todo="add --engine ray, or leave --address and --workers"
        )


def only_rows(**options: object) -> None:
    """Refuse what a run on an engine does not do.

    Args:
        options: What was asked for, by the options' names.

    Raises:
        ConfigError: One was.
    """
    from xiqa.errors import ConfigError

    if asked := [f"--{name.replace('_', '-')}" for name, value in options.items() if value]:
        raise ConfigError("the engine ray writes rows alone", got=", ".join(asked), todo="leave that out")


def spread(
    paths: Sequence[str],
    asked: Mapping[str, Any],
    console: Console,
    *,
    address: str | None,
    workers: int | None,
) -> bool:
    """Assess on Ray, and write ``results.csv`` of all rows.

    Args:
        paths: See `xiqa.engines.sources`.
        asked: Fields of `xiqa.engines.work.Asked`, without threads and settings.
        console: For progress and the summary.
        address: Of the cluster.
        workers: How many; see `xiqa.engines.ray.assess_on_ray`.

    Returns:
        Whether everything was assessed.
    """
    from xiqa.engines.ray import assess_on_ray
    from xiqa.engines.sources import items_of
    from xiqa.engines.store import Store
    from xiqa.imaging import skipped_files

    work = _work(asked)
    store = Store(Path(work.out), work.settings)
    refused: list[ImageReadError] = []
    skipped: Counter[str] = Counter()
    progress = Progress(console)
    items = progress.listing(store.fresh(items_of(paths, refused=refused, skipped=skipped)))
    assess_on_ray(items, work, address=address, workers=workers, on_done=progress.add)
    unread = _finish(store, work, console)
    if skipped:
        console.print(skipped_files(skipped), soft_wrap=True, markup=False)
    problems = console if not console.quiet else type(console)(stderr=True)
    for error in refused:
        problems.print(f"Not assessed: {error}", soft_wrap=True, markup=False)
    return not (unread or refused)


def _work(asked: Mapping[str, Any]) -> Asked:
    """What is asked of the workers; the model is loaded here once, so that its faults are told first."""
    from xiqa import __version__
    from xiqa.assessment.loading import load_runtime
    from xiqa.engines.work import Asked

    methods = (asked["method"],) if asked["method"] else ()
    runtime = load_runtime(asked["model"], asked["engine"], methods=methods)
    settings = {"model_hash": runtime.card.hash, "method": str(runtime.resolve(asked["method"]))}
    model = os.path.abspath(asked["model"]) if Path(asked["model"]).exists() else asked["model"]  # noqa: PTH100
    threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    settings |= {"xiqa": __version__}
    out = os.path.abspath(asked["out"])  # noqa: PTH100 - keeps any name as it is
    return Asked(**{**asked, "model": model, "out": out}, threads=threads, settings=settings)


class Progress:
    """A line now and then: what is done, and how long the rest takes, as soon as that can be known.

    While files are still being listed there is no end to tell a time of; nor is there before the second block
    is done. The rate is that of the last 200 blocks.

    Args:
        console: Where it is written.
        every: Seconds between lines.
    """

    def __init__(self, console: Console, every: float = 10.0) -> None:
        self._console, self._every = console, every
        self._listed, self._done, self._failed, self._complete = 0, 0, 0, False
        self._begun = self._last = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque(maxlen=200)

    def listing(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, counted as they pass."""
        for item in items:
            self._listed += 1
            yield item
        self._complete = True

    def add(self, done: Done) -> None:
        """A block more is on the disk."""
        now = time.monotonic()
        self._done, self._failed = self._done + done.files, self._failed + done.failed
        self._recent.append((now, self._done))
        if now - self._last >= self._every:
            self._last = now
            self._console.print(self.line())

    def line(self) -> str:
        """Where the run stands, in words."""
        failed = f", {self._failed} of them not assessed" if self._failed else ""
        told = f"{self._done} done{failed}"
        (first, before), (last, now) = self._recent[0], self._recent[-1]
        if last <= first:
            return told
        rate = (now - before) / (last - first)
        if not self._complete:
            return f"{told}, {rate:.1f} images a second, still listing"
        left = (self._listed - self._done) / rate
        return f"{told}, {rate:.1f} images a second, about {left:.0f} s left"


def _finish(store: Store, asked: Asked, console: Console) -> int:
    """Write the table of all rows and say what is in it; how many could not be assessed."""
    from xiqa.files import write_atomic
    from xiqa.report.rows import PEOPLE, URGENCY, csv_pieces
    from xiqa.report.words import WORDS
    from xiqa.types import Verdict

    counts: Counter[Verdict] = Counter()

    def counted() -> Iterator[Assessment]:
        for _, row in store.rows():
            counts[row.verdict] += 1
            yield row

    out = Path(asked.out)
    people = set(PEOPLE.values()) if asked.identifiers else set()
    table = csv_pieces(counted(), fragile=False, series=store.has_series(), identifiers=people)
    write_atomic(out / "results.csv", table)
    for probability, uri in nsmallest(SHOWN, store.poor()):
        console.print(f"{-probability:.2f}  {uri}", soft_wrap=True, markup=False, highlight=False)
    words = ", ".join(f"{counts[v]} {WORDS[v].lower()}" for v in URGENCY if counts[v])
    console.print(f"\n{sum(counts.values())} rows: {words or 'none'}")
    console.print(f"Results: {out / 'results.csv'} and {store.folder}", soft_wrap=True, markup=False)
    return counts[Verdict.NOT_ASSESSED]
