"""One reader of recipes: what a file extends, what its quick version changes, and every fault at once."""

import pytest
from pydantic import Field, ValidationError, model_validator

from xiqa.config import RecipeFile, Section, faults, recipe_entries
from xiqa.errors import ConfigError


class Inner(Section):
    depth: int = Field(default=2, ge=1)
    width: int = 5


class Plan(RecipeFile):
    name: str
    epochs: int = Field(ge=1)
    seed: int = 7
    inner: Inner = Inner()

    @model_validator(mode="after")
    def _agree(self):
        if self.seed == self.epochs:
            raise ValueError("seed and epochs are the same")
        return self


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_file_replaces_what_it_extends_table_by_table(write):
    write("base.toml", "name = 'base'\nepochs = 4\n[inner]\ndepth = 3\nwidth = 11\n")
    write("middle.toml", "extends = 'base.toml'\nname = 'middle'\n[inner]\nwidth = 13\n")
    path = write("top.toml", "extends = 'middle.toml'\nname = 'top'\nseed = 1\n[quick.inner]\ndepth = 1\n")
    assert Plan.read(path) == Plan(name="top", epochs=4, seed=1, inner=Inner(depth=3, width=13))
    assert Plan.read(path, quick=True) == Plan(
        name="top-quick", epochs=4, seed=1, inner=Inner(depth=1, width=13)
    )
    changed = Plan.read(path, quick=True, changes={"inner": {"depth": 9}, "epochs": 8})
    assert (changed.inner, changed.epochs) == (Inner(depth=9, width=13), 8)
    assert recipe_entries(path)["quick"] == {"inner": {"depth": 1}}


def test_every_fault_is_named_at_once(write):
    path = write("wrong.toml", "epochs = 0\nsed = 3\nextra = 1\n[inner]\ndepth = 'deep'\ndepht = 1\n")
    with pytest.raises(ConfigError) as caught:
        Plan.read(path)
    said = str(caught.value)
    for part in (
        "missing name",
        "epochs = 0: Input should be greater than or equal to 1",
        "unknown sed (did you mean seed?)",
        "unknown extra",
        "inner.depth = 'deep'",
        "unknown inner.depht",
    ):
        assert part in said
    assert str(path) in said


def test_a_recipe_that_disagrees_with_itself_says_why_without_all_its_entries(write):
    path = write("wrong.toml", "name = 'a'\nepochs = 7\n")
    with pytest.raises(ConfigError) as caught:
        Plan.read(path)
    assert str(caught.value) == f"{path} is not such a recipe: got seed and epochs are the same"


def test_sections_are_frozen():
    with pytest.raises(ValidationError) as caught:
        Inner().depth = 3
    assert "frozen" in faults(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends = 'wrong.toml'", "extends itself"),
        ("extends = 'no.toml'", "cannot read"),
        ("a =", "not TOML"),
    ],
)
def test_a_file_that_is_no_recipe(write, text, message):
    with pytest.raises(ConfigError, match=message):
        Plan.read(write("wrong.toml", text))


def test_a_quick_version_that_is_not_there(write):
    with pytest.raises(ConfigError, match=r"no quick version.*\[quick\]"):
        Plan.read(write("plan.toml", "name = 'a'\nepochs = 1\n"), quick=True)
