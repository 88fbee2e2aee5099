"""A pytest plugin that notes which test calls which function: ``pytest -p tests.mutants.reach``.

A trace function is told of calls alone, not of lines, so that this costs little. Functions are known by file
and qualified name.
"""

import json
import os
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "xiqa"
PREFIX = f"{SOURCE}{os.sep}"
KEPT = ROOT / ".pytest_cache" / "reach"


@dataclass
class Reach:
    """For each function (``file:name``) the tests that call it, and for each test its seconds."""

    tests: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @classmethod
    def load(cls, folder: Path = KEPT) -> "Reach":
        """What all workers have noted; empty where nothing was."""
        whole = cls()
        for path in sorted(folder.glob("*.json")):
            noted = json.loads(path.read_text())
            whole.seconds.update(noted["seconds"])
            for function, tests in noted["tests"].items():
                whole.tests[function].update(tests)
        return whole

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        tests = {function: sorted(names) for function, names in self.tests.items()}
        path.write_text(json.dumps({"seconds": self.seconds, "tests": tests}))


class Recorder:
    """Hears every call of a Python function while a test runs, and keeps those of ours."""

    def __init__(self) -> None:
        self.reach = Reach()
        self.called: set[CodeType] = set()

    def hear(self, frame: FrameType, event: str, arg: object) -> None:
        self.called.add(frame.f_code)

    def listen(self) -> None:
        self.called = set()
        threading.settrace(self.hear)
        sys.settrace(self.hear)

    def note(self, test: str, seconds: float) -> None:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        self.reach.seconds[test] += seconds
        for code in self.called:
            if code.co_filename.startswith(PREFIX):
                name = f"{code.co_filename[len(PREFIX) :]}:{code.co_qualname}"
                self.reach.tests[name].add(test)


recorder = Recorder()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    began = time.perf_counter()
    recorder.listen()
    try:
        return (yield)
    finally:
        recorder.note(item.nodeid, time.perf_counter() - began)


def pytest_unconfigure():
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    if recorder.reach.seconds:
        recorder.reach.save(KEPT / f"{worker}.json")
