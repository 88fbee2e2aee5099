"""Which tests a change is tried on: those that reach it, by what was noted here or is kept in the project."""

from collections.abc import Mapping
from pathlib import Path

from tests.mutants.changes import Change
from tests.mutants.hints import file_of, hinted, nearness, seconds_of_files
from tests.mutants.reach import SOURCE, Reach

QUICK = 15.0  # seconds of single tests that are tried first
WHOLE = 40.0  # seconds of whole files that are tried on what survives


def select(change: Change, reach: Reach) -> list[list[str]]:
    """Lists of tests, one tried after the other: few and quick ones first."""
    relative = str(change.path.relative_to(SOURCE))
    if not reach.seconds:
        return [hinted(relative, change.function)]
    tests = reach.tests.get(f"{relative}:{change.function}", set())
    if not tests:  # a constant of the module, or of a class
        tests = set().union(*(t for f, t in reach.tests.items() if f.startswith(f"{relative}:")))
    if not tests:
        return [hinted(relative, change.function)]
    cost = seconds_of_files(reach)
    own = room(change.path)
    single = sorted(tests, key=lambda t: (nearness(own, file_of(t)), reach.seconds[t], t))
    files = sorted({file_of(t) for t in tests}, key=lambda f: (nearness(own, f), cost[f], f))
    return [within(single, reach.seconds, QUICK), within(files, cost, WHOLE)]


def within(names: list[str], seconds: Mapping[str, float], limit: float) -> list[str]:
    """The first names that together take no longer than the limit, and at least one."""
    taken: list[str] = []
    total = 0.0
    for name in names:
        total += seconds[name]
        if taken and total > limit:
            break
        taken.append(name)
    return taken


def room(path: Path) -> str:
    """A source file's room."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")
