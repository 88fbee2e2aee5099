"""``xiqa models``: the list, the card on the terminal, as JSON and as a page."""

import json

import pytest
from typer.testing import CliRunner

from xiqa.cli.models import app
from xiqa.models.shelf import read_card, shipped_models

NAME = shipped_models()[0]


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*words):
        result = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    return invoke


def test_the_list_names_every_shipped_model_with_its_hash(run):
    told = run("list")
    for name in shipped_models():
        assert name in told
        assert read_card(name).hash in told


def test_the_card_as_json_is_the_card(run):
    assert json.loads(run("show", NAME, "--json")) == read_card(NAME).model_dump(mode="json")


def test_the_page_is_written_and_tells_limits_scores_and_licence(run, tmp_path):
    run("show", NAME, "--out", str(tmp_path / "card.md"))
    page = (tmp_path / "card.md").read_text()
    card = read_card(NAME)
    for told in (card.limits, card.not_for, card.licence, str(card.evaluations[0].auc), card.hash):
        assert told in page
    assert "Model card" in run("show", NAME)
