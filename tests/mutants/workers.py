"""Processes that try changes side by side, each in a copy of its own."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.mutants.changes import Change
from tests.mutants.reach import Reach
from tests.mutants.trial import SURVIVED, Copy, Outcome, load_libraries, trial


class Worker:
    """What one process keeps between trials."""

    copy: Copy
    reach: Reach
    folder: tempfile.TemporaryDirectory

    @classmethod
    def start(cls) -> None:
        load_libraries()
        cls.folder = tempfile.TemporaryDirectory(prefix="mutants")
        cls.copy = Copy(Path(cls.folder.name))
        cls.reach = Reach.load()

    @classmethod
    def fails_anyway(cls, test: str) -> str:
        """The test's name if it fails on the source as it is, too."""
        return test if cls.copy.run([test]) != SURVIVED else ""

    @classmethod
    def try_one(cls, change: Change) -> Outcome:
        return trial(cls.copy, change, cls.reach)


def outcomes(drawn: list[Change], workers: int) -> Iterator[Outcome]:
    """Each change's outcome, as it comes; raises at the end if a test that noticed one always fails."""
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=Worker.start) as pool:
        noticed = set()
        for outcome in pool.map(Worker.try_one, drawn):
            noticed.add(outcome.by)
            yield outcome
        broken = [test for test in pool.map(Worker.fails_anyway, sorted(noticed - {""})) if test]
    if broken:
        raise RuntimeError(
            "these tests fail on the source as it is, so they say nothing: " + ", ".join(broken)
        )
