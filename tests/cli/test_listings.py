"""Lists on a narrow terminal: what a person types next stands there whole."""

import sys

import pytest

from xiqa.cli import main
from xiqa.cli._parts.listing import print_listing
from xiqa.datasets.layout import layouts
from xiqa.metrics.registry import metrics
from xiqa.models.shelf import read_card, shipped_models
from xiqa.recipes import recipe_files
from xiqa.saliency.registry import methods


def named(items):
    return [item.name for item in items]


LISTS = {
    "methods": lambda: named(methods()),
    "metrics": lambda: named(metrics()),
    "data layouts": lambda: named(layouts()),
    "models list": lambda: [text for name in shipped_models() for text in (name, read_card(name).hash)],
    "recipes list": lambda: [path.stem for path in recipe_files("train").values()],
    "benchmark --list": lambda: [path.stem for path in recipe_files("benchmark").values()],
    "printed": lambda: ["ozer2025consistent:5", "lamprou2024faithfulness:figures"],
}


@pytest.mark.parametrize("command", LISTS)
@pytest.mark.parametrize("width", [60, 80])
def test_names_are_never_cut(command, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "argv", ["xiqa", *command.split()])
    with pytest.raises(SystemExit):
        main()
    words = capsys.readouterr().out.split()
    expected = LISTS[command]()
    assert expected
    assert set(expected) <= set(words)


def test_texts_are_printed_as_they_are(capsys):
    print_listing(("name", "what it is"), [("[bold]a", "b[/]")])
    assert "[bold]a" in capsys.readouterr().out
