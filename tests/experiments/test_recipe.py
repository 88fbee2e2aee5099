"""Every shipped recipe can be read, and a wrong one says what is wrong."""

import re
import tomllib
from pathlib import Path

import pytest

from xiqa.errors import ConfigError
from xiqa.experiments.measures import STATISTICS, VERDICTS
from xiqa.experiments.recipe import VERDICT_MEASURES, Experiment
from xiqa.metrics import get_metric
from xiqa.recipes import recipe_files
from xiqa.saliency.registry import bind


@pytest.mark.parametrize("path", recipe_files("benchmark").values(), ids=lambda path: path.stem)
def test_a_shipped_recipe_names_what_exists(path):
    one = Experiment.read(path)
    assert one.name == path.stem
    for method in (*one.methods, *(method for model in one.models for method in model.methods)):
        bind(method)
    measured = {measure.name for measure in one.measures} | {*VERDICTS, *STATISTICS, "called"}
    for measure in one.measures:
        assert set(measure.params) <= set(get_metric(measure.metric).params)
    for table in one.tables:
        assert set(table.metrics) <= measured
    assert one.tables or one.figures or one.galleries


def test_the_names_of_verdict_measures_are_kept_for_them():
    assert {*VERDICTS, *STATISTICS, "called"} == VERDICT_MEASURES


NAMED = "name = 'a'\ntitle = 't'\n"
WHOLE = NAMED + "verdicts = true\n[[models]]\nname = 'm'\n"
FIGURE = "[[figures]]\nname = 'f'\ntitle = 'f'\nkind = 'intervals'\ntable = 'no'\n"
TABLE = "[[tables]]\nname = 'f'\ntitle = 'f'\nrows = ['method']\ncolumns = ['method']\n"
WRONG = {
    WHOLE + "[[measures]]\nmetric = 'pointing_recall'\nlabel = 'recall'": "recall is a measure of verdicts",
    "name = ": "is not TOML",
    "name = 'a'": "title",
    NAMED + "[[models]]\nname = 'm'": "nothing to measure",
    WHOLE + "[[models]]\nname = 'm'": "two have one name",
    NAMED + "verdicts = true\nextra = 1\n[[models]]\nname = 'm'": "extra",
    WHOLE + "[[alterations]]\nname = 'x'": "name one of",
    WHOLE + FIGURE: "table that is not there",
    WHOLE + TABLE: "a row or a column",
}


@pytest.mark.parametrize("text", WRONG, ids=WRONG.values())
def test_a_wrong_recipe_names_the_entry(text, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=WRONG[text]):
        Experiment.read(path)


def test_the_recipe_in_the_documentation_is_one():
    page = (Path(__file__).resolve().parents[2] / "docs" / "experiments.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    one = Experiment.model_validate(tomllib.loads(text))
    assert one.name == "small"
    for method in (*one.methods, *(method for model in one.models for method in model.methods)):
        bind(method)
