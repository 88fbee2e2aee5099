"""What the department learns: counted by hand, drawn, exported and reported."""

import csv
import io
import re
from datetime import UTC, date, datetime

import pytest

from tests.service.nodes import settings
from tests.service.page.visits import Visitor, add, assessed_row, person
from xiqa.errors import XiqaError
from xiqa.service.node import open_store
from xiqa.service.records.decisions import Choice
from xiqa.service.records.department import Department, add_department
from xiqa.service.records.rejects import analyse, seen, table

DAY = datetime(2026, 3, 4, 9, tzinfo=UTC).timestamp()
FIRST = date(2026, 3, 1)
LAST = date(2026, 3, 31)


@pytest.fixture
def decided(site):
    """Six images: accepted, against the model, rejected with its repeat, undone, undecided."""
    rows = [
        assessed_row(1, "accept", received=DAY, patient="a", device="=A1"),
        assessed_row(2, "accept", received=DAY + 10, patient="b"),
        assessed_row(3, "reacquire", received=DAY + 20, patient="c"),
        assessed_row(4, "accept", received=DAY + 200, patient="c"),
        assessed_row(5, "reacquire", received=DAY + 86400, patient="d"),
        assessed_row(6, "review", received=DAY + 90000 + 86400, patient="c", view="LAT"),
    ]
    add(site.store, *rows)
    who, decide = person(site.people, "technologist"), site.decisions.decide
    decide(Choice("1.2.1", 0, "accept"), who)
    decide(Choice("1.2.2", 0, "reacquire", "111209", "rotated"), who)
    decide(Choice("1.2.3", 0, "reacquire", "111210"), who)
    decide(Choice("1.2.5", 0, "reacquire", "111209"), who)
    site.decisions.undo("1.2.5", 1, who)
    return site


def test_counts_are_those_of_the_decisions_in_force(decided):
    found = analyse(seen(decided.store, FIRST, LAST), "day")
    assert (found.rejected.count, found.rejected.total) == (2, 6)
    assert (found.repeats.count, found.repeats.total) == (1, 6)
    assert (found.overrides.count, found.overrides.total) == (1, 3)
    assert found.kappa.value == pytest.approx(0.4)  # of three: both, the person alone, neither
    assert found.kappa.agreement == pytest.approx(2 / 3)
    assert {name: rate.count for name, rate in found.reasons} == {"Positioning": 1, "Motion blur": 1}
    assert dict(found.groups["view"])["LAT"].total == 1
    assert [(p.name, p.count, p.total) for p in found.chart.points] == [
        ("2026-03-04", 2, 4),
        ("2026-03-05", 0, 1),
        ("2026-03-06", 0, 1),
    ]
    assert seen(decided.store, date(2026, 3, 5), date(2026, 3, 5))[0].action == ""


def test_periods_have_their_names(decided):
    images = seen(decided.store, FIRST, LAST)
    assert analyse(images, "week").chart is None  # one week: nothing to compare
    assert analyse([], "day").rejected.total == 0


def test_no_cell_of_the_table_is_a_formula_and_none_names_a_person(decided):
    rows = list(csv.DictReader(io.StringIO(table(seen(decided.store, FIRST, LAST)))))
    assert sum(int(row["images"]) for row in rows) == 6
    assert sum(int(row["rejected"]) for row in rows) == 2
    assert sum(int(row["overrides"]) for row in rows) == 1
    assert "'=A1" in {row["device"] for row in rows}
    lead = Visitor(decided, "lead").get("/analysis.csv?from=2026-03-01&to=2026-03-31")
    assert lead.headers["content-type"].startswith("text/csv")
    assert "attachment" in lead.headers["content-disposition"]
    assert "Technologist" not in lead.text
    assert Visitor(decided, "technologist").get("/analysis.csv").status_code == 403


def test_the_page_and_the_report_show_the_numbers_and_no_name(decided):
    visitor = Visitor(decided, "viewer")
    page = visitor.get("/analysis?from=2026-03-01&to=2026-03-31&by=day").text
    assert "33.3 %" in page
    assert "2 of 6" in page
    assert "Technologist Person" not in page
    report = Visitor(decided, "lead").get("/report?month=2026-03").text
    assert "33.3 %" in report
    assert "Technologist Person" not in report
    assert not re.search(r'(src|href)="|url\(|@import', report), "the report needs another file"
    assert Visitor(decided, "lead").get("/report?month=none").status_code == 422
    assert Visitor(decided, "viewer").get("/analysis?from=x&to=2026-99-99&by=hour").status_code == 200


@pytest.mark.long
def test_a_simulated_year_shows_its_change_and_stands_alone(tmp_path):
    store = open_store(settings(tmp_path))
    wanted = Department(date(2026, 3, 31), days=120, images=40, seed=4)
    number = add_department(store, wanted)
    images = seen(store, date(2025, 12, 2), date(2026, 3, 31))
    assert len(images) == number > 3000
    found = analyse(images, "week")
    assert 0.04 < found.rejected.value < 0.14
    assert found.repeats.value > 0.8 * found.rejected.value
    assert 0.7 < found.kappa.value < 1
    late = [point.name for point in found.chart.alarms]
    assert late
    assert min(late) >= "2026-W09"  # the change is at day 90: 2 March
    with pytest.raises(XiqaError, match="images already"):
        add_department(store, wanted)
    assert store.trail.broken() is None
    store.database.close()
