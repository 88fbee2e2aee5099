"""Rows, events and the audit trail."""

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydicom.sr._concepts_dict import concepts
from sqlalchemy import delete, insert, select, text, update

from tests.service.rows import instance_row, job_rows
from xiqa.errors import ConfigError
from xiqa.service.records.audit import CODES, seal
from xiqa.service.records.database import Database
from xiqa.service.records.schema import audit, metadata
from xiqa.service.records.store import Store, Verdict


def test_the_migrations_make_the_tables_that_the_code_expects(database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_nodes_that_start_together_upgrade_once(url):
    problems = []

    def start():
        database = Database(url)
        try:
            database.upgrade()
        except Exception as error:
            problems.append(error)
        database.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


@pytest.mark.parametrize("url_", ["mysql://x/y", "nonsense", "", "oracle://a"])
def test_another_database_is_refused(url_):
    with pytest.raises(ConfigError, match="begins with sqlite: or postgresql:"):
        Database(url_)


def test_told_twice_there_is_one_row_and_one_job(store):
    rows = [instance_row(1), instance_row(2)]
    assert store.add_instances(rows, [("assess", ""), ("forward", "pacs")]) == []
    assert store.add_instances(rows, [("assess", ""), ("forward", "pacs")]) == []
    assert len(job_rows(store)) == 4
    assert len(store.recent()) == 2
    assert store.known("1.2.1") == f"{1:064x}"
    assert store.known("1.2.9") is None
    assert store.uids(["1.2.1", "1.2.9", "1.2.2"]) == {"1.2.1", "1.2.2"}


def test_another_content_is_named_and_changes_nothing(store):
    store.add_instances([instance_row(1)], [("assess", "")])
    changed = instance_row(1, sha256="f" * 64, path="other")
    assert store.add_instances([changed, instance_row(2)], [("assess", "")]) == ["1.2.1"]
    assert store.instance(1)["sha256"] == f"{1:064x}"
    assert store.instance(1)["path"] == "a/1.2.1.dcm"
    assert len(job_rows(store)) == 2


def test_an_instance_with_all_that_belongs_to_it(store):
    store.add_instances([instance_row(1)], [("assess", "")])
    (job,) = store.queue.lease("assess", "w", 60)
    store.assessed(job, Verdict("review", "at the limit", 0.5, "h" * 64, "chest", "{}"), [("deliver", "p")])
    (job,) = store.queue.lease("deliver", "w", 60)
    with store.database.writing() as connection:
        store.queue.finish(connection, job)
        store.delivered(connection, job, "9.1", "0000")
        store.delivered(connection, job, "9.1", "0000", "confirmed")
    found = store.find("1.2.1")
    assert (found["verdict"], found["reason"], found["rule"]) == ("review", "at the limit", "chest")
    assert [(row["uid"], row["outcome"]) for row in found["deliveries"]] == [("9.1", "confirmed")]
    assert [row["kind"] for row in found["jobs"]] == ["assess", "deliver"]
    assert store.taken(1, "p") == {"9.1": "confirmed"}
    assert store.taken(1, "q") == {}
    assert store.find("1.2.2") is None


def test_events_come_in_order_and_none_is_missed(url, database):
    store = Store(database)

    def tell(name):
        mine = Store(Database(url))
        for number in range(20):
            with mine.database.writing() as connection:
                mine.tell(connection, "test", f"{name}.{number}", {"number": number})
        mine.database.close()

    threads = [threading.Thread(target=tell, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    seen, last = [], 0
    while any(thread.is_alive() for thread in threads) or store.events_after(last):
        for row in store.events_after(last, most=7):
            assert row["id"] > last
            last = row["id"]
            seen.append(row["uid"])
    assert len(seen) == len(set(seen)) == 80
    assert store.last_event() == last
    for name in range(4):
        assert [uid for uid in seen if uid.startswith(f"{name}.")] == [f"{name}.{n}" for n in range(20)]


def test_switches(store):
    assert store.switched("assessing") == "on"
    store.switch("assessing", "off", actor="lead")
    assert store.switched("assessing") == "off"
    store.switch("assessing", "on")
    assert store.switched("assessing") == "on"
    with store.database.reading() as connection:
        rows = connection.execute(select(audit.c.actor, audit.c.detail).order_by(audit.c.id)).all()
    assert [tuple(row) for row in rows] == [("lead", "switched to off"), ("node", "switched to on")]


def trail_of_five(store):
    for number in range(5):
        store.note("transfer", f"1.2.{number}", actor="CR1", detail="ü <script>")
    assert store.trail.broken() is None


def test_a_changed_row_breaks_the_chain(store):
    trail_of_five(store)
    with store.database.writing() as connection:
        connection.execute(update(audit).where(audit.c.id == 3).values(actor="nobody"))
    assert store.trail.broken() == 3


def test_a_changed_row_with_a_new_hash_breaks_it_behind(store):
    trail_of_five(store)
    with store.database.writing() as connection:
        row = dict(connection.execute(select(audit).where(audit.c.id == 3)).mappings().one())
        row["actor"] = "nobody"
        row["hash"] = seal(row)
        connection.execute(update(audit).where(audit.c.id == 3).values(row))
    assert store.trail.broken() == 4


def test_a_missing_and_an_inserted_row_break_it(store):
    trail_of_five(store)
    with store.database.writing() as connection:
        connection.execute(delete(audit).where(audit.c.id == 2))
    assert store.trail.broken() == 3
    with store.database.writing() as connection:
        row = dict(connection.execute(select(audit).where(audit.c.id == 1)).mappings().one())
        connection.execute(insert(audit).values(row | {"id": 2, "hash": "x"}))
    assert store.trail.broken() == 2


def test_the_head_is_the_last_row_s_hash(store):
    assert store.trail.head() == "0" * 64
    trail_of_five(store)
    with store.database.reading() as connection:
        assert (
            store.trail.head()
            == connection.execute(text("SELECT hash FROM audit ORDER BY id DESC LIMIT 1")).scalar()
        )


def test_audit_codes_are_dicom_s():
    known = {
        code: meaning for codes in concepts["DCM"].values() for code, (meaning, _contexts) in codes.items()
    }
    for code, meaning in CODES.values():
        assert known[code] == meaning
