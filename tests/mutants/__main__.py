"""``python -m tests.mutants``: draw changes, run their tests, list what nobody noticed."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.mutants.changes import Change, changes, draw
from tests.mutants.equivalents import reasons
from tests.mutants.hints import noted
from tests.mutants.reach import ROOT, SOURCE
from tests.mutants.selection import room
from tests.mutants.trial import SURVIVED, UNREACHED, Outcome
from tests.mutants.workers import outcomes

UNNOTICED = (SURVIVED, UNREACHED)


def candidates(names: Iterable[str] = ()) -> dict[str, list[Change]]:
    """By room, every change of the named rooms and files, or of all."""
    wanted = [SOURCE / name for name in names] or [SOURCE]
    found: dict[str, list[Change]] = {}
    for start in wanted:
        single = start if start.suffix else start.with_suffix(".py")
        for path in sorted(start.rglob("*.py")) if start.is_dir() else [single]:
            if path.parent != SOURCE or not path.stem.startswith("_"):
                relative = str(path.relative_to(SOURCE))
                found.setdefault(room(path), []).extend(changes(path, path.read_text(), relative))
    return found


def equivalent(change: Change) -> str:
    """Why a change changes nothing that anybody could see, or nothing."""
    return reasons().get(
        (str(change.path.relative_to(SOURCE)), *change.difference(change.path.read_text())), ""
    )


def is_noted(change: Change) -> bool:
    return noted(str(change.path.relative_to(SOURCE)), change.function)


def describe(outcome: Outcome) -> str:
    change = outcome.change
    before, after = change.difference(change.path.read_text())
    return f"{change.path.relative_to(ROOT)}:{change.line} ({outcome.verdict})\n  - {before}\n  + {after}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("names", nargs="*", help="rooms, or files below src/xiqa; all where none is named")
    parser.add_argument("-n", type=int, default=20, help="changes of each room")
    parser.add_argument("--together", action="store_true", help="-n changes of all of them, not of each room")
    parser.add_argument("--noted", action="store_true", help="only functions whose tests are noted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where to write what became of each")
    arguments = parser.parse_args()
    found = candidates(arguments.names)
    if arguments.noted:
        found = {name: [c for c in some if is_noted(c)] for name, some in found.items()}
    if arguments.together:
        found = {"": [change for some in found.values() for change in some]}
    drawn = [c for some in found.values() for c in draw(some, arguments.n, arguments.seed)]
    drawn = [change for change in drawn if not equivalent(change)]
    total, noticed, told = Counter(), Counter(), []
    for outcome in outcomes(drawn, arguments.workers):
        name = room(outcome.change.path)
        total[name] += 1
        noticed[name] += outcome.verdict not in UNNOTICED
        told.append({"text": describe(outcome), "verdict": outcome.verdict, "by": outcome.by})
        if outcome.verdict in UNNOTICED:
            print(describe(outcome), flush=True)
    for name in sorted(total):
        print(f"{name:12} {noticed[name]:4} of {total[name]:4} noticed")
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1))
    return 0 if sum(noticed.values()) == sum(total.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
