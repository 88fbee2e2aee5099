"""Parts of a run on several machines, and the whole put together again."""

import json

import pytest
from tests.cli.test_assess import xiqa

pytestmark = pytest.mark.long


def rows(out):
    keep = ("file", "verdict", "probability", "findings")
    return {
        row["file"]: [row[name] for name in keep] for row in json.loads((out / "results.json").read_text())
    }


def test_the_parts_are_the_whole(monkeypatch, capsys, bundle, images, tmp_path):
    """Joined journals are a run in which everything is done already."""
    monkeypatch.chdir(images.parent)
    command = ["assess", images.name, "--model", bundle, "--batch-size", 1]
    assert xiqa(monkeypatch, *command, "--out", tmp_path / "whole") == 0
    parts, lines = [], ""
    for index in range(1, 5):  # three images: at least one part has none
        out = tmp_path / str(index)
        assert xiqa(monkeypatch, *command, "--out", out, "--shard", f"{index}/4") == 0
        assert (out / "report.html").exists()
        parts.append(rows(out))
        lines += (out / "results.jsonl").read_text() if parts[-1] else ""
    assert {} in parts
    whole = rows(tmp_path / "whole")
    assert sum(map(len, parts)) == 3
    assert {file: row for part in parts for file, row in part.items()} == whole
    (tmp_path / "joined").mkdir()
    (tmp_path / "joined" / "results.jsonl").write_text(lines)
    capsys.readouterr()
    assert xiqa(monkeypatch, *command, "--out", tmp_path / "joined") == 0
    assert "3 of 3 images are done already" in capsys.readouterr().out
    assert rows(tmp_path / "joined") == whole


def test_a_part_that_is_none_is_refused_before_anything_is_read(monkeypatch, capsys, tmp_path):
    assert xiqa(monkeypatch, "assess", tmp_path / "absent", "--shard", "0/4") == 2
    assert "i/n with i from 1 to n" in capsys.readouterr().err
