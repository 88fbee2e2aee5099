import csv
import io
import json

import pytest

from xiqa.report.rows import COLUMNS, counts, csv_bytes, harmless, json_bytes, to_row, worst_first
from xiqa.types import Verdict


def table(rows):
    return list(csv.DictReader(io.StringIO(csv_bytes(rows).decode("utf-8"))))


def test_a_row_has_exactly_the_documented_keys(make, unread):
    keys = ["file", "verdict", "reason", "probability", "threshold", "findings", "provenance"]
    row = to_row(make("a.png")[0])
    assert list(row) == keys == list(to_row(unread("b.png")))
    assert row["findings"] == [{"box": [25.0, 15.0, 34.0, 24.0], "peak": [30.0, 20.0], "score": 1.0}]
    assert json.loads(json_bytes([row])) == [row]


def test_what_could_not_be_read_has_no_probability(unread):
    row = to_row(unread("b.png"))
    assert (row["verdict"], row["probability"], row["findings"]) == ("not_assessed", None, [])
    assert table([row])[0]["probability"] == ""


def test_worst_comes_first(make, unread):
    made = [
        make("ok.png", 0.1, Verdict.ACCEPT)[0],
        unread("bad.dcm"),
        make("unsure.png", 0.5, Verdict.REVIEW)[0],
        make("poor.png", 0.7)[0],
        make("poorer.png", 0.99)[0],
    ]
    rows = worst_first(map(to_row, made))
    assert [row["file"] for row in rows] == ["poorer.png", "poor.png", "unsure.png", "bad.dcm", "ok.png"]
    assert list(counts(rows).values()) == [2, 1, 1, 1]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", " =", "\r@"])
def test_no_cell_is_a_formula(make, start):
    assessment, _ = make(f"{start}cmd|calc.png", reason=f"{start}1+1", provenance={"model": f"{start}x"})
    (line,) = table([to_row(assessment)])
    assert list(line) == list(COLUMNS)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", " =")) for cell in line.values())


def test_a_plain_name_stays_as_it_is():
    assert harmless("films/a-b=c.png") == "films/a-b=c.png"


def test_odd_names_survive_in_json_and_stay_on_one_line_in_csv(make):
    name = 'a"b\n\udcff;,é.png'
    row = to_row(make(name)[0])
    assert json.loads(json_bytes([row]))[0]["file"] == name
    assert table([row])[0]["file"] == 'a"b\\x0a\\xff;,é.png'
