"""`xiqa assess` on series: what the screen says and what is written."""

import json

from tests.cli.test_assess import xiqa as run
from tests.test_assessing_series import cine, frames, slices


def test_the_command_shows_series_and_writes_frames(monkeypatch, capsys, bundle, tmp_path):
    slices(tmp_path / "mr", frames(5, (2,)))
    cine(tmp_path / "cine.dcm", frames(3, (0,)))
    out = tmp_path / "out"
    asked = ("assess", tmp_path / "mr", tmp_path / "cine.dcm", "--model", bundle, "--out", out)
    assert run(monkeypatch, *asked) == 0
    told = capsys.readouterr().out
    assert "2 images and series (8 images): 2 re-acquire" in told
    assert "(5 of 5 poor" in told.replace("\n", " ")
    assert len(json.loads((out / "results.json").read_text())) == 10
    assert run(monkeypatch, *asked) == 0
    assert "2 of 1 image and 1 series are done already" in capsys.readouterr().out
    assert run(monkeypatch, *asked, "--frames", "every:2") == 0
    rows = json.loads((out / "results.json").read_text())
    assert {tuple(row["series"]["places"]) for row in rows if row["series"]} == {(0, 2, 4), (0, 2)}
    assert run(monkeypatch, *asked, "--frames", "some") == 2
