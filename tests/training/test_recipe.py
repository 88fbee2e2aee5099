"""Recipes: every shipped one reads, and a wrong entry is told by name."""

from pathlib import Path

import pytest

from xiqa.errors import ConfigError
from xiqa.training.recipe import Recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("cxr-*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_read(path):
    recipe = Recipe.read(path)
    assert recipe.name == path.stem
    assert all(phase.size == recipe.preprocessing.size for phase in recipe.phases[-1:])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("epochs = 4", "epochs = 0", r"phases\.0\.epochs"),
        ("seed = 0", "sed = 0", "sed"),
        ("poor_class = 1", "poor_class = 0", "poor"),
        ("[data]", "[data", "not TOML"),
        ('classes = ["clean", "foreign"]', 'classes = ["clean"]', "classes"),
    ],
)
def test_a_wrong_entry_is_told(tmp_path, old, new, told):
    text = RECIPES[0].read_text()
    assert old in text
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=told):
        Recipe.read(path)


def test_an_absent_recipe_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        Recipe.read(tmp_path / "none.toml")
