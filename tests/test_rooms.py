"""The rooms stand in an order, and a room imports only rooms above it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "xiqa"
ORDER = [
    "errors",
    "_torchvision",
    "codec",
    "geometry",
    "shown",
    "types",
    "files",
    "plugins",
    "recipes",
    "config",
    "process",
    "imaging",
    "simulation",
    "datasets",
    "models",
    "saliency",
    "metrics",
    "scoring",
    "report",
    "training",
    "assessment",
    "experiments",
    "export",
    "dicom",
    "engines",
    "service",
    "cli",
]
HEAVY = {"torch", "torchvision", "timm", "lightning", "pandas", "scipy", "matplotlib", "pydicom", "skimage"}


def room_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def runtime_imports(tree: ast.AST):
    """Every imported module, but for imports that only the type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (name for part in node.orelse for name in runtime_imports(part))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            # `from xiqa import imaging` names a room too
            yield from ([f"xiqa.{a.name}" for a in node.names] if node.module == "xiqa" else [node.module])
        else:
            yield from runtime_imports(node)


def offences(text: str, room: str) -> list[str]:
    position = ORDER.index(room)
    bad = []
    for name in runtime_imports(ast.parse(text)):
        parts = name.split(".")
        if parts[0] == "xiqa" and len(parts) > 1 and parts[1] in ORDER and ORDER.index(parts[1]) > position:
            bad.append(name)
    return bad


MOST_MODULES = 20  # side by side in one package, so that a reader finds a way through it


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    named = {}
    for path in SOURCE.rglob("*.py"):
        parts = ("xiqa", *path.relative_to(SOURCE).with_suffix("").parts)
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def imported_modules(text: str, known: set[str]) -> set[str]:
    """The modules of ours that a text imports, imports inside functions included."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in known else node.module)
    return names & known


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import one another, directly or by way of others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for name in graph.get(waiting.pop(), set()) - seen:
                seen.add(name)
                waiting.append(name)
        return seen

    reach = {name: reached(name) for name in graph}
    groups = {
        tuple(sorted(other for other in graph if other in reach[name] and name in reach[other]))
        for name in graph
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


FILES = [p for p in sorted(SOURCE.rglob("*.py")) if p.parent != SOURCE or p.stem in ORDER]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_room_imports_only_rooms_above_it(path):
    assert offences(path.read_text(), room_of(path)) == []


def test_every_room_has_a_place_in_the_order():
    assert {room_of(p) for p in SOURCE.rglob("*.py")} - {"__init__", "__main__"} <= set(ORDER)


def test_the_list_for_contributors_is_the_real_order():
    page = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    there = {room_of(path) for path in SOURCE.rglob("*.py")}
    assert listed == [room for room in ORDER if room in there]


def test_the_guard_sees_an_offence():
    assert offences("def f():\n    from xiqa.cli import main\n", "imaging") == ["xiqa.cli"]
    assert offences("from xiqa import report\n", "metrics") == ["xiqa.report"]
    assert offences("if TYPE_CHECKING:\n    from xiqa.cli import main\n", "imaging") == []


def test_no_module_imports_itself_by_way_of_others():
    """Imports inside functions and for the type checker count: a circle is one, however it is hidden."""
    named = modules()
    graph = {name: imported_modules(path.read_text(), set(named)) - {name} for name, path in named.items()}
    assert circles(graph) == []


def test_the_guard_sees_a_circle():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_no_package_has_too_many_modules():
    packages: dict[Path, int] = {}
    for path in SOURCE.rglob("*.py"):
        packages[path.parent] = packages.get(path.parent, 0) + 1
    assert {str(folder): count for folder, count in packages.items() if count > MOST_MODULES} == {}


def test_every_package_says_what_it_is_for():
    for path in SOURCE.rglob("__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert text, path
        assert len(text) > 40, path


@pytest.mark.parametrize(
    "statement",
    ["import xiqa", "import sys; sys.argv = ['xiqa', '--help']\nfrom xiqa.cli import main\nmain()"],
)
def test_start_is_light(statement):
    code = (
        f"import sys\ntry:\n    exec({statement!r})\nexcept SystemExit: pass\nprint('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split("LOADED")[-1].split()}
    assert not loaded & HEAVY
