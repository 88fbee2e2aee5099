"""Tests run on a changed source, in a copy of the project, by a process that has the libraries already."""

import importlib
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.changes import Change
from tests.mutants.reach import ROOT, Reach
from tests.mutants.selection import select

#: Loaded once, before the process splits: what most tests want and no change touches.
LIBRARIES = (
    "pytest",
    "hypothesis.strategies",
    "numpy",
    "scipy.ndimage",
    "scipy.stats",
    "PIL.Image",
    "pydicom",
    "pydantic",
    "typer.testing",
    "torch",
    "skimage.filters",
    "pandas",
    "jinja2",
)
NOT_COPIED = {"demo", "runs", "build", "dist", "__pycache__"}
PATIENCE = 150  # seconds; a program that runs for longer does not end, and that is noticed
KILLED, SURVIVED, UNREACHED, ENDLESS = "killed", "survived", "no test reaches it", "does not end"


@dataclass(frozen=True)
class Outcome:
    """What became of one change."""

    change: Change
    verdict: str
    seconds: float
    by: str


def load_libraries() -> None:
    from xiqa import _torchvision  # noqa: F401  (torchvision needs it first)

    for name in LIBRARIES:
        importlib.import_module(name)
    for name in [n for n in sys.modules if n == "xiqa" or n.startswith("xiqa.")]:
        del sys.modules[name]


class Copy:
    """The project in a folder of its own, one file of which is changed at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignore = shutil.ignore_patterns("__pycache__", "_build", "generated")
        for source in ROOT.iterdir():
            if source.is_dir() and source.name not in NOT_COPIED and not source.name.startswith("."):
                shutil.copytree(source, folder / source.name, ignore=ignore)
            elif source.is_file():
                shutil.copy2(source, folder / source.name)

    def attempt(self, change: Change, tests: list[str]) -> str:
        """Run tests on a change, in a process of their own."""
        place = self.folder / change.path.relative_to(ROOT)
        text = place.read_text()
        place.write_text(change.applied(text))
        try:
            return self.run(tests)
        finally:
            place.write_text(text)

    def run(self, tests: list[str]) -> str:
        child = os.fork()
        if child == 0:
            os._exit(self.as_child(tests))
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return SURVIVED if status == 0 else KILLED
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return ENDLESS

    def as_child(self, tests: list[str]) -> int:
        import pytest

        os.setsid()
        os.chdir(self.folder)
        sys.dont_write_bytecode = True
        sys.path[:] = [os.fspath(self.folder / "src"), os.fspath(self.folder), *sys.path]
        os.environ |= {"PYTHONPATH": os.fspath(self.folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        for name in [n for n in sys.modules if n == "tests" or n.startswith("tests.")]:
            del sys.modules[name]
        log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        how = ["-x", "-q", "-m", "not long", "-p", "no:cacheprovider", "-p", "no:xdist"]
        code = pytest.main([*how, *tests], plugins=[FirstFailure(self.failed)])
        sys.stdout.flush()
        return 0 if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) else 1

    @property
    def failed(self) -> Path:
        """Where the name of the test that failed is left."""
        return self.folder / "failed"


class FirstFailure:
    """Leaves the name of the first test, or file, that failed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.unlink(missing_ok=True)

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and not self.path.exists():
            self.path.write_text(report.nodeid)

    pytest_collectreport = pytest_runtest_logreport


def trial(copy: Copy, change: Change, reach: Reach) -> Outcome:
    """Whether any test notices a change."""
    began, verdict, by = time.monotonic(), UNREACHED, ""
    for tests in filter(None, select(change, reach)):
        verdict = copy.attempt(change, tests)
        if verdict == KILLED:
            by = copy.failed.read_text() if copy.failed.exists() else ""
        if verdict != SURVIVED:
            break
    return Outcome(change, verdict, time.monotonic() - began, by)
