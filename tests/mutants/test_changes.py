"""The tool that changes the source: what it changes, what it leaves alone, and that its draw is steady."""

import json
import textwrap

import pytest

from tests.mutants import hints
from tests.mutants.changes import changes, compiles, draw
from tests.mutants.reach import ROOT, SOURCE, Reach
from tests.mutants.selection import select, within


def made(tmp_path, text):
    """The changed programs' lines, as pairs of before and after."""
    path = tmp_path / "source.py"
    path.write_text(textwrap.dedent(text))
    found = changes(path, path.read_text(), "source.py")
    assert all(compiles(change) for change in found)
    return {change.difference(path.read_text())[1] for change in found}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a = b < c", {"a = b <= c", "a = b > c"}),
        ("a = b is None", {"a = b is not None"}),
        ("a = b + c", {"a = b - c"}),
        ("a = b and c", {"a = b or c"}),
        ("a = not b", {"a = (b)"}),
        ("a = 7", {"a = 8", "a = 6"}),
        ("a = 0.5", {"a = 1.0"}),
        ("a = True", {"a = False"}),
        ("a = f(b, c)", {"a = f(c, b)"}),
        ("a = html.escape(b)", {"a = (b)"}),
        ("a = x.clamp(b)", {"a = x"}),
        ("a = min(b)", {"a = max(b)"}),
        ("a = b if c else d", {"a = b if not (c) else d"}),
        ("a: int | None = b", set()),
        ('"""A line."""', set()),
        ('raise ValueError("a" + "b")', set()),
        ('a = f"{b}" + "c"', set()),
    ],
)
def test_a_line_is_changed_in_one_place(tmp_path, line, expected):
    assert made(tmp_path, line + "\n") == expected


def test_guards_and_returns(tmp_path):
    found = made(tmp_path, "def f(a):\n    if a:\n        raise ValueError\n    return a\n")
    assert found == {"if False:", "return None"}


def test_a_change_knows_its_function(tmp_path):
    path = tmp_path / "source.py"
    path.write_text(
        "class A:\n    def f(self):\n        def g():\n            return 1\n        return g\nB = 1\n"
    )
    names = {change.line: change.function for change in changes(path, path.read_text(), "source.py")}
    assert names == {4: "A.f.<locals>.g", 5: "A.f", 6: ""}


def test_the_draw_is_steady_and_the_seed_decides(tmp_path):
    path = tmp_path / "source.py"
    path.write_text("".join(f"a{n} = {n}.5\n" for n in range(40)))
    found = changes(path, path.read_text(), "source.py")
    first = [change.difference(path.read_text()) for change in draw(found, 8, 1)]
    assert first != [change.difference(path.read_text()) for change in draw(found, 8, 2)]
    path.write_text("import os\n\n" + path.read_text())  # other lines
    again = draw(changes(path, path.read_text(), "source.py"), 8, 1)
    assert [change.difference(path.read_text()) for change in again] == first


def test_tests_that_reach_a_change_are_tried_quick_and_near_ones_first():
    path = SOURCE / "geometry.py"
    change = next(c for c in changes(path, path.read_text(), "geometry.py") if c.function == "Frame.crop")
    reach = Reach()
    reach.seconds |= {"tests/a.py::x": 9.0, "tests/b.py::y": 1.0, "tests/b.py::z": 20.0, "tests/c.py::w": 1.0}
    reach.tests["geometry.py:Frame.crop"] |= {"tests/a.py::x", "tests/b.py::y"}
    assert select(change, reach) == [["tests/b.py::y", "tests/a.py::x"], ["tests/a.py", "tests/b.py"]]
    assert within(["p", "q", "r"], {"p": 20.0, "q": 1.0, "r": 1.0}, 15.0) == ["p"]


def test_what_is_kept_names_files_that_are_there():
    kept = json.loads(hints.PLACE.read_text())
    missing = [name for name in kept["files"] if not (ROOT / name).exists()]
    assert len(missing) <= len(kept["files"]) / 10, "write it anew: make reach"
    assert hints.hinted("geometry.py", "Frame.crop")[0] == "tests/test_geometry.py"
    assert hints.namesake("imaging/masks.py") == []
    assert hints.hinted("geometry.py", "no such function")
