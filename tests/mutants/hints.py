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
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(where)}" for name, where in known.items())
    PLACE.write_text(f'{{"files": {json.dumps(files, indent=0)},\n"functions": {{\n{lines}\n}}}}\n')


@cache
def _read() -> dict:
    return json.loads(PLACE.read_text())


def hinted(source: str, function: str) -> list[str]:
    """Test files for a function; those of the whole file, or of the room, where it is not known.

    A file that is named like the room comes first, known or not: what is new in it is tried at once.
    """
    kept = _read()
    functions = kept["functions"].get(source, {})
    numbers = functions.get(function) or [
        n for n, _ in Counter(chain.from_iterable(functions.values())).most_common(KEPT)
    ]
    known = [name for name in (kept["files"][n] for n in numbers) if (ROOT / name).exists()]
    return list(dict.fromkeys([*namesake(source), *known])) or mirrored(source)


def namesake(source: str) -> list[str]:
    """The test file of a room that is one file, if there is one."""
    name = f"tests/test_{source}"
    return [name] if "/" not in source and (ROOT / name).exists() else []


def noted(source: str, function: str) -> bool:
    """Whether it is known which tests reach a function."""
    return function in _read()["functions"].get(source, {})


def mirrored(source: str) -> list[str]:
    """Test files that lie where the source does, below tests; the nearest folder that is there."""
    folder = ROOT / "tests" / Path(source).with_suffix("")
    while not folder.is_dir():
        folder = folder.parent
    if folder == ROOT / "tests":
        return []
    return sorted(str(path.relative_to(ROOT)) for path in folder.glob("test_*.py"))


if __name__ == "__main__":
    write(Reach.load())
