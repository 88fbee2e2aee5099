import json
import sys

import pytest

from xiqa.cli import main
from xiqa.saliency.registry import methods


def xiqa(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["xiqa", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code or 0


def test_all_methods_are_listed(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "150")
    assert xiqa(monkeypatch, "methods") == 0
    told = capsys.readouterr().out
    assert all(info.name in told and info.cite in told for info in methods())


def test_json_is_complete(monkeypatch, capsys):
    assert xiqa(monkeypatch, "methods", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told] == [info.name for info in methods()]
    assert set(told[0]) == {"name", "kind", "needs", "params", "cite", "summary"}
    assert all(one["summary"] for one in told)


def test_one_method_is_described(monkeypatch, capsys):
    assert xiqa(monkeypatch, "methods", "gradcam") == 0
    told = capsys.readouterr().out
    assert "selvaraju2017gradcam" in told
    assert "layers=last" in told


def test_a_misspelt_name_gets_a_hint(monkeypatch, capsys):
    assert xiqa(monkeypatch, "methods", "gradcan") == 2
    assert "did you mean gradcam" in capsys.readouterr().err
