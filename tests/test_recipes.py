"""Recipes come with the package: found by name, shown, copied, and told entry by entry."""

import json
import sys
from pathlib import Path

import pytest
from pydantic import Field

from xiqa.cli import main
from xiqa.cli.recipes import MODELS
from xiqa.config import RecipeFile, Section, entries_of, recipe_entries
from xiqa.errors import ConfigError
from xiqa.recipes import FOLDER, find_recipe, recipe_files


@pytest.fixture
def xiqa(monkeypatch, capsys, tmp_path):
    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["xiqa", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code or 0, capsys.readouterr()

    return run


def test_every_file_has_one_name_for_what_it_does():
    train, benchmark = recipe_files("train"), recipe_files("benchmark")
    files = sorted(FOLDER.rglob("*.toml"))
    assert sorted([*train.values(), *benchmark.values()]) == files
    assert train["short-lite0"] == FOLDER / "experiments" / "training" / "short-lite0.toml"
    assert train["lvot-simulated"] != benchmark["lvot-simulated"]


def test_a_path_comes_before_a_name_and_a_slip_is_answered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_recipe("softtree", "train") == FOLDER / "softtree.toml"
    Path("softtree").write_text("name = 'mine'")
    assert find_recipe("softtree", "train") == Path("softtree")
    with pytest.raises(ConfigError, match=r"no recipe 'smoothin'.*did you mean smoothing\?"):
        find_recipe("smoothin", "benchmark")


def test_a_copy_still_extends_the_shipped_recipe(xiqa, tmp_path):
    status, _ = xiqa("recipes", "copy", "lvot-efficientnet-b0", "--out", "mine.toml")
    assert status == 0
    copied, own = tmp_path / "mine.toml", FOLDER / "lvot-efficientnet-b0.toml"
    assert copied.read_bytes() == own.read_bytes()
    assert recipe_entries(copied) == recipe_entries(own)
    status, said = xiqa("recipes", "copy", "softtree", "--out", "mine.toml")
    assert status == 2
    assert "mine.toml exists" in said.err
    assert copied.read_bytes() == own.read_bytes()


def test_an_experiment_is_shown_by_its_own_name_or_its_folder(xiqa):
    for name, file in {
        "smoothing": "experiments/smoothing.toml",
        "lvot-simulated": "lvot-simulated.toml",
        "experiments/lvot-simulated": "experiments/lvot-simulated.toml",
    }.items():
        assert xiqa("recipes", "show", name)[1].out == (FOLDER / file).read_text()


def test_the_list_names_the_command_of_each(xiqa):
    rows = json.loads(xiqa("recipes", "list", "--json")[1].out)
    assert len(rows) == len(list(FOLDER.rglob("*.toml")))
    assert all(row["summary"] for row in rows)
    assert {row["command"] for row in rows if row["name"].endswith("lvot-simulated")} == {
        "train lvot-simulated",
        "benchmark lvot-simulated",
    }


class Inner(Section):
    """A table.

    Attributes:
        depth: How deep it is, in
            metres.
    """

    depth: int = Field(default=2, ge=1, lt=9)


class Plan(RecipeFile):
    """A recipe.

    Attributes:
        name: What it is called.
        rest: One of two.
    """

    name: str
    rest: tuple[float, ...] = (0.5,)
    inner: Inner = Inner()
    each: tuple[Inner, ...] = ()


def test_entries_are_told_with_type_limits_default_and_meaning():
    assert list(entries_of(Plan)) == [
        ("name", "str", "", "What it is called."),
        ("rest", "list of float", "(0.5,)", "One of two."),
        ("inner", "table", "", ""),
        ("inner.depth", "int >= 1 < 9", "2", "How deep it is, in metres."),
        ("each", "tables [[...]]", "", ""),
        ("each.depth", "int >= 1 < 9", "2", "How deep it is, in metres."),
    ]


@pytest.mark.parametrize("kind", MODELS)
def test_keys_and_schema_come_from_the_model(kind, xiqa):
    schema = json.loads(xiqa("recipes", "schema", kind)[1].out)
    status, said = xiqa("recipes", "keys", kind)
    assert status == 0
    assert "name" in schema["properties"]
    assert schema["additionalProperties"] is False
    assert all(entry[:12] in said.out for entry in schema["properties"])
