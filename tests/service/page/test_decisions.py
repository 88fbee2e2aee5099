"""Decisions on both databases: one of many wins, all or nothing, undone within the rules."""

import threading

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

import xiqa.service.records.database as database_module
from tests.service.page.visits import accounts, add, assessed_row, person, row_of
from tests.service.rows import instance_row, job_rows
from xiqa.service.records.database import Database
from xiqa.service.records.decisions import Choice, Decisions, NotAllowedError, StaleError
from xiqa.service.records.schema import DECIDED
from xiqa.service.records.store import Store

REASONS = ("111209", "111210", "111215")


@pytest.fixture
def people(store):
    return accounts(store)


def made(store, **more) -> Decisions:
    return Decisions(store, REASONS, ["pacs", "vna"], **more)


def test_of_twenty_who_decide_at_once_one_wins(store, people):
    add(store, assessed_row(1))
    decisions, who = made(store), person(people, "technologist")
    outcomes, ready = [], threading.Barrier(20)

    def decide(number: int) -> None:
        ready.wait()
        try:
            action = "reacquire" if number % 2 else "accept"
            reason = "111210" if number % 2 else ""
            decisions.decide(Choice("1.2.1", 0, action, reason, f"note {number}"), who)
            outcomes.append("won")
        except StaleError:
            outcomes.append("stale")

    threads = [threading.Thread(target=decide, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["stale"] * 19 + ["won"]
    row = row_of(store, "1.2.1")
    (kept,) = decisions.of(row["id"])
    assert (row["version"], row["decision"], row["urgency"]) == (1, kept["action"], DECIDED)
    assert len(job_rows(store, kind="reject")) == (2 if kept["action"] == "reacquire" else 0)
    assert store.trail.broken() is None


def test_what_fails_at_the_end_leaves_nothing_behind(store, people, monkeypatch):
    add(store, assessed_row(1))
    decisions, who = made(store), person(people, "technologist")

    def fail(*_args, **_more):
        raise RuntimeError("no audit, no decision")

    with monkeypatch.context() as patched:
        patched.setattr(store.trail, "note", fail)
        with pytest.raises(RuntimeError):
            decisions.decide(Choice("1.2.1", 0, "reacquire", "111210"), who)
    row = row_of(store, "1.2.1")
    assert (row["version"], row["decision"]) == (0, "")
    assert decisions.of(row["id"]) == []
    assert job_rows(store) == []
    assert store.events_after(0) == []


@pytest.mark.parametrize(
    ("verdict", "choice", "problem"),
    [
        ("reacquire", ("accept", "", ""), "needs a note"),
        ("accept", ("reacquire", "111210", " "), "needs a note"),
        ("review", ("reacquire", "", "x"), "needs a reason"),
        ("review", ("reacquire", "111208", "x"), "needs a reason"),  # not one of this site's list
        ("review", ("reacquire", "111215", ""), "say in a note"),
        ("review", ("accept", "111210", ""), "does not go with accepting"),
        ("review", ("delete", "", ""), "no such action"),
        ("review", ("accept", "", "x" * 1001), "too long"),
    ],
)
def test_rules(store, people, verdict, choice, problem):
    add(store, assessed_row(1, verdict))
    with pytest.raises(NotAllowedError, match=problem):
        made(store).decide(Choice("1.2.1", 0, *choice), person(people, "technologist"))
    assert row_of(store, "1.2.1")["version"] == 0


def test_an_override_is_kept_as_one(store, people):
    add(store, assessed_row(1, "accept"), assessed_row(2, "review"), assessed_row(3, "reacquire"))
    decisions, who = made(store), person(people, "technologist")
    for number in (1, 2, 3):
        decisions.decide(Choice(f"1.2.{number}", 0, "reacquire", "111209", "arm"), who)
    kept = [decisions.of(row_of(store, f"1.2.{n}")["id"])[0] for n in (1, 2, 3)]
    assert [row["override"] for row in kept] == [True, False, False]
    assert [row["verdict"] for row in kept] == ["accept", "review", "reacquire"]
    assert kept[0]["person"] == "Technologist Person"


def test_undo_holds_the_notes_back_and_a_second_decision_sends_them(store, people):
    add(store, assessed_row(1))
    decisions, who = made(store, undo_minutes=10), person(people, "technologist")
    decisions.decide(Choice("1.2.1", 0, "reacquire", "111210"), who)
    job = job_rows(store, kind="reject", peer="pacs")[0]
    assert job["due"] == pytest.approx(store.clock.now() + 600, abs=20)
    assert store.queue.lease("reject", "a", 10, peer="pacs") == []
    with pytest.raises(NotAllowedError, match="only a lead"):
        decisions.undo("1.2.1", 1, person(people, "admin").__class__(99, "x", "X", who.role))
    assert decisions.undo("1.2.1", 1, who) == 2
    assert {row["state"] for row in job_rows(store, kind="reject")} == {"dropped"}
    assert row_of(store, "1.2.1")["urgency"] == 0
    with pytest.raises(StaleError):
        decisions.decide(Choice("1.2.1", 0, "reacquire", "111210"), who)
    decisions.decide(Choice("1.2.1", 2, "reacquire", "111209"), who)
    assert {row["state"] for row in job_rows(store, kind="reject")} == {"waiting"}
    actions = [row["action"] for row in decisions.of(row_of(store, "1.2.1")["id"])]
    assert actions == ["reacquire", "undo", "reacquire"]
    assert decisions.undo("1.2.1", 3, person(people, "lead")) == 4


def test_what_an_archive_may_know_is_not_undone(store, people):
    add(store, assessed_row(1))
    decisions, who = made(store, undo_minutes=10), person(people, "technologist")
    decisions.decide(Choice("1.2.1", 0, "reacquire", "111210"), who)
    with store.database.writing() as connection:
        connection.execute(text("UPDATE jobs SET due = 0 WHERE peer = 'vna'"))
    assert len(store.queue.lease("reject", "a", 10, peer="vna")) == 1
    with pytest.raises(NotAllowedError, match="an archive has been told"):
        decisions.undo("1.2.1", 1, who)
    assert row_of(store, "1.2.1")["decision"] == "reacquire"
    assert job_rows(store, kind="reject", peer="pacs")[0]["state"] == "waiting"


def test_undo_has_its_time(store, people):
    add(store, assessed_row(1))
    decisions, who = made(store, undo_minutes=0), person(people, "technologist")
    decisions.decide(Choice("1.2.1", 0, "accept", note="fine"), who)
    with pytest.raises(NotAllowedError, match="time to undo is over"):
        decisions.undo("1.2.1", 1, who)


def test_a_viewer_does_not_decide_whatever_page_asks(store, people):
    add(store, assessed_row(1))
    with pytest.raises(NotAllowedError, match="may look and not decide"):
        made(store).decide(Choice("1.2.1", 0, "accept", note="x"), person(people, "viewer"))


def test_tables_of_an_older_version_keep_their_rows(url):
    old = Database(url)
    config = Config()
    config.set_main_option("script_location", f"{database_module.__file__.rpartition('/')[0]}/migrations")
    with old.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        row = instance_row(1) | {"verdict": "review", "spooled": True, "device": "", "station": ""}
        row |= dict.fromkeys(("called", "address", "study_uid", "series_uid", "body_part", "view"), "")
        row |= dict.fromkeys(("acquired", "reason", "model_hash", "rule"), "")
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO instances ({names}) VALUES ({values})"), row)
        connection.execute(
            text(
                "INSERT INTO jobs (instance_id, kind, peer, state, due, tries, fence, owner, lease_until,"
                " status, problem, created, updated)"
                " VALUES (1, 'forward', '', 'done', 0, 1, 1, '', 0, '', '', 0, 0)"
            )
        )
    old.upgrade()
    store = Store(old)
    assert row_of(store, "1.2.1")["urgency"] == 1
    assert len(job_rows(store)) == 1
    old.close()
