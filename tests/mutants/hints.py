"""What is kept in the project of `reach`: for each function, the few test files that reach it soonest.

``python -m tests.mutants.hints`` writes ``reached.json`` anew from what a run with the plugin has noted
(``make reach``). It may be older than the source: a function that it does not know takes its file's tests.
"""

import json
from collections import Counter, defaultdict
from functools import cache
from itertools import chain
from pathlib import Path

from tests.mutants.reach import ROOT, Reach

PLACE = Path(__file__).with_name("reached.json")
KEPT = 3  # test files a function


def file_of(test: str) -> str:
    return test.partition("::")[0]


def seconds_of_files(reach: Reach) -> Counter[str]:
    found: Counter[str] = Counter()
    for test, seconds in reach.seconds.items():
        found[file_of(test)] += seconds
    return found


def nearness(room: str, file: str) -> bool:
    """Whether a test file is of another room than the source."""
    return room not in file.split("/")[1].removeprefix("test_").removesuffix(".py")


def write(reach: Reach) -> None:
    """Keep, for each function, the files of its own room first, and quick ones before slow ones."""
    cost = seconds_of_files(reach)
    files = sorted(cost)
    numbers = {file: number for number, file in enumerate(files)}
    known: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for name, tests in sorted(reach.tests.items()):
        source, _, function = name.partition(":")
        room = source.partition("/")[0].removesuffix(".py")
        order = sorted({file_of(t) for t in tests}, key=lambda f: (nearness(room, f), cost[f], f))
        known[source][function] = [numbers[file] for file in order[:KEPT]]
    PLACE.write_text(json.dumps({"files": files, "functions": known}, separators=(",", ":")) + "\n")


@cache
def _read() -> dict:
    return json.loads(PLACE.read_text())


def hinted(source: str, function: str) -> list[str]:
    """Test files for a function of a source file; those of the whole file where the function is not known."""
    kept = _read()
    functions = kept["functions"].get(source, {})
    numbers = functions.get(function) or [
        n for n, _ in Counter(chain.from_iterable(functions.values())).most_common(KEPT)
    ]
    return [name for name in (kept["files"][n] for n in numbers) if (ROOT / name).exists()]


if __name__ == "__main__":
    write(Reach.load())
