import csv
import io
import json

import pytest

from xiqa.geometry import Box, Point
from xiqa.report.rows import COLUMNS, counts, csv_bytes, harmless, json_bytes, worst_first
from xiqa.types import Assessment, Finding, Source, Verdict


def table(rows):
    return list(csv.DictReader(io.StringIO(csv_bytes(rows).decode("utf-8"))))


def test_a_row_has_exactly_the_documented_keys(make, unread):
    keys = [
        *("file", "verdict", "reason", "code", "probability", "threshold", "findings", "provenance"),
        *("saliency", "image_size", "fragility", "source", "series"),
    ]
    made = make("a.png")[0].disclosed()
    (row,) = json.loads(json_bytes([made]))
    assert list(row) == keys == list(json.loads(json_bytes([unread("b.png")]))[0])
    (finding,) = row["findings"]
    assert finding == {
        "peak": [30.0, 20.0],
        "box": [25.0, 15.0, 34.0, 24.0],
        "score": 1.0,
        "ties": 1,
        "label": "",
    }
    assert Assessment.from_dict(row) == made


def test_a_line_of_the_table_tells_the_first_place(make):
    finding = Finding(Point(30.123, 20.0), Box(25.0, 15.0, 34.0, 24.987), 1 / 3)
    (line,) = table([make("a.png", findings=(finding,))[0]])
    places = [line[name] for name in ("peak_x", "peak_y", "box_x0", "box_y0", "box_x1", "box_y1", "score")]
    assert places == ["30.12", "20.0", "25.0", "15.0", "34.0", "24.99", "0.3333"]


def test_what_could_not_be_read_has_no_probability(unread):
    result = unread("b.png")
    (row,) = json.loads(json_bytes([result]))
    assert (row["verdict"], row["code"], row["probability"]) == ("not_assessed", "html", None)
    assert table([result])[0]["probability"] == ""


def test_the_archives_identifiers_are_told_and_people_on_request_only(make):
    known = {
        "SOPInstanceUID": "1.2.3",
        "PatientID": "P1",
        "AccessionNumber": "=A1",
        "PatientName": "Doe^Jane",
    }
    result, _ = make("a.dcm", source=Source(path="a.dcm", frame=4, frames=9, identifiers=known))
    (line,) = table([result.disclosed()])
    assert (line["sop_instance_uid"], line["frame"]) == ("1.2.3", "4")
    assert "P1" not in str(line)
    assert "P1" not in json_bytes([result.disclosed()]).decode()
    (line,) = table([result.disclosed(identifiers=True)])
    assert (line["patient_id"], line["accession_number"]) == ("P1", "'=A1")


def test_worst_comes_first(make, unread):
    made = [
        make("ok.png", 0.1, Verdict.ACCEPT)[0],
        unread("bad.dcm"),
        make("unsure.png", 0.5, Verdict.REVIEW)[0],
        make("poor.png", 0.7)[0],
        make("poorer.png", 0.99)[0],
    ]
    results = worst_first(made)
    assert [r.file for r in results] == ["poorer.png", "poor.png", "unsure.png", "bad.dcm", "ok.png"]
    assert list(counts(results).values()) == [2, 1, 1, 1]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", " =", "\r@"])
def test_no_cell_is_a_formula(make, start):
    assessment, _ = make(f"{start}cmd|calc.png", reason=f"{start}1+1", provenance={"model": f"{start}x"})
    (line,) = table([assessment])
    assert list(line) == list(COLUMNS)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", " =")) for cell in line.values())


def test_a_plain_name_stays_as_it_is():
    assert harmless("images/a-b=c.png") == "images/a-b=c.png"


def test_odd_names_survive_in_json_and_stay_on_one_line_in_csv(make):
    name = 'a"b\n\udcff;,é.png'
    result = make(name)[0].disclosed()
    assert json.loads(json_bytes([result]))[0]["file"] == name
    assert table([result])[0]["file"] == 'a"b\\x0a\\xff;,é.png'
