"""The rooms stand in an order, and a room imports only rooms above it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "xiqa"
ORDER = [
    "errors",
    "_torchvision",
    "types",
    "files",
    "process",
    "resampling",
    "imaging",
    "datasets",
    "models",
    "saliency",
    "metrics",
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


FILES = [p for p in sorted(SOURCE.rglob("*.py")) if p.parent != SOURCE or p.stem in ORDER]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_room_imports_only_rooms_above_it(path):
    assert offences(path.read_text(), room_of(path)) == []


def test_every_room_has_a_place_in_the_order():
    assert {room_of(p) for p in SOURCE.rglob("*.py")} - {"__init__", "__main__"} <= set(ORDER)


def test_the_guard_sees_an_offence():
    assert offences("def f():\n    from xiqa.cli import main\n", "imaging") == ["xiqa.cli"]
    assert offences("from xiqa import report\n", "metrics") == ["xiqa.report"]
    assert offences("if TYPE_CHECKING:\n    from xiqa.cli import main\n", "imaging") == []


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
