"""`xiqa assess --fragility`."""

import json
import sys

import pytest

from xiqa.cli import main


def xiqa(monkeypatch, *arguments):
    """Exit status of the command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["xiqa", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code or 0


def test_the_smallest_flips_are_told_and_kept(monkeypatch, capsys, bundle, images, tmp_path):
    out = tmp_path / "out"
    arguments = ["assess", images, "--model", bundle, "--out", out]
    assert xiqa(monkeypatch, *arguments, "--fragility") == 0
    assert "flips at" in capsys.readouterr().out
    rows = json.loads((out / "results.json").read_text())
    assert len(rows) == 3
    assert all(row["fragility"]["pixels"] > 0 for row in rows)
    assert "of 255 grey levels" in (out / "report.html").read_text()
    assert xiqa(monkeypatch, *arguments, "--fragility") == 0
    assert "3 of 3 images are done already" in capsys.readouterr().out
    assert xiqa(monkeypatch, *arguments) == 0  # another question, so asked again
    told = capsys.readouterr().out
    assert "done already" not in told
    assert "flips at" not in told
