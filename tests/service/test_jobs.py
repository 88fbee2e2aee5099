"""A job is done once, whoever dies, is slow, or has a wrong clock."""

import threading
import time

import pytest
from sqlalchemy import text

from tests.service.rows import instance_row, job_rows
from xiqa.service.records.clock import Clock
from xiqa.service.records.database import Database
from xiqa.service.records.jobs import LeaseLostError, Queue, delay
from xiqa.service.records.store import Store, StoredResult, Verdict


class Hands(Clock):
    """A clock that tests move."""

    def __init__(self, now: float = 1000.0) -> None:
        super().__init__()
        self.time = now

    def now(self) -> float:
        return self.time


@pytest.fixture
def hands(store):
    made = Hands()
    store.clock = store.queue._clock = store.trail._clock = made
    return made


def fill(store, count=1, wanted=(("assess", ""),)):
    store.add_instances([instance_row(n) for n in range(1, count + 1)], wanted)


def one(store, kind="assess", owner="w1", seconds=60.0, **more):
    (job,) = store.queue.lease(kind, owner, seconds, **more)
    return job


def finish(store, job, **more):
    with store.database.writing() as connection:
        store.queue.finish(connection, job, **more)


def test_a_leased_job_is_nobody_else_s(store, hands):
    fill(store)
    job = one(store)
    assert (job.kind, job.tries, job.fence) == ("assess", 1, 1)
    assert store.queue.lease("assess", "w2", 60) == []
    finish(store, job, status="fine")
    assert [(row["state"], row["status"]) for row in job_rows(store)] == [("done", "fine")]
    hands.time += 10_000
    assert store.queue.lease("assess", "w2", 60) == []


def test_kinds_and_peers_are_apart(store, hands):
    fill(store, 1, [("forward", "pacs"), ("forward", "backup"), ("assess", "")])
    assert store.queue.has_due("forward", "backup")
    assert one(store, "forward", peer="backup").peer == "backup"
    assert not store.queue.has_due("forward", "backup")
    assert store.queue.lease("forward", "w1", 60, peer="backup") == []
    assert one(store, "forward", peer="pacs").peer == "pacs"
    assert store.queue.lease("confirm", "w1", 60) == []


def test_the_longest_due_comes_first_and_several_at_a_time(store, hands):
    fill(store, 5)
    jobs = store.queue.lease("assess", "w1", 60, most=3)
    assert [job.instance_id for job in jobs] == [1, 2, 3]
    with store.database.writing() as connection:
        store.queue.again(connection, jobs[0], "no", after=5)
    hands.time += 10
    assert [job.instance_id for job in store.queue.lease("assess", "w1", 60, most=9)] == [4, 5, 1]


def test_a_worker_that_does_not_come_back_loses_its_job(store, hands):
    fill(store)
    late = one(store, seconds=30)
    hands.time += 29
    assert store.queue.lease("assess", "w2", 30) == []
    hands.time += 2
    assert store.queue.has_due("assess")
    quick = one(store, owner="w2", seconds=30)
    assert (quick.id, quick.fence, quick.tries) == (late.id, late.fence + 1, 2)
    for change in (finish, lambda s, job: s.queue.extend(job, 10)):
        with pytest.raises(LeaseLostError):
            change(store, late)
    finish(store, quick)
    with pytest.raises(LeaseLostError):
        finish(store, quick)  # twice


def test_with_a_lost_lease_nothing_of_the_result_is_kept(store, hands):
    fill(store)
    late = one(store, seconds=30)
    hands.time += 31
    quick = one(store, owner="w2")
    verdict = Verdict("reacquire", "a button", 0.93, results=(StoredResult("sr", "9.1", "c", "r/9.1.dcm"),))
    with pytest.raises(LeaseLostError):
        store.assessed(late, verdict, [("deliver", "pacs")])
    assert store.results_of(1) == []
    assert store.instance(1)["verdict"] == ""
    assert len(job_rows(store)) == 1
    store.assessed(quick, verdict, [("deliver", "pacs")])
    assert store.results_of(1) == [StoredResult("sr", "9.1", "c", "r/9.1.dcm")]
    assert store.instance(1)["probability"] == 0.93
    assert [row["kind"] for row in job_rows(store)] == ["assess", "deliver"]


def test_more_time_may_be_asked_for(store, hands):
    fill(store)
    job = one(store, seconds=30)
    hands.time += 25
    store.queue.extend(job, 30)
    hands.time += 25
    assert store.queue.lease("assess", "w2", 30) == []
    finish(store, job)


def test_what_fails_comes_again_later_and_later(store, hands):
    fill(store)
    waits = []
    for number in range(1, 12):
        job = one(store)
        assert job.tries == number
        with store.database.writing() as connection:
            store.queue.again(connection, job, "refused", status="A700")
        (row,) = job_rows(store)
        assert (row["state"], row["status"], row["problem"]) == ("waiting", "A700", "refused")
        waits.append(row["due"] - hands.time)
        hands.time = row["due"] - 0.01
        assert store.queue.lease("assess", "w1", 60) == []
        hands.time = row["due"]
    assert all(0.75 * 2**n <= wait <= 1.25 * 2**n for n, wait in enumerate(waits[:9], start=1))
    assert all(675 <= wait <= 1125 for wait in waits[9:])
    assert 675 <= delay(10**6) <= 1125


def test_dead_jobs_wait_for_a_person(store, hands):
    fill(store, 3)
    jobs = store.queue.lease("assess", "w1", 60, most=3)
    with store.database.writing() as connection:
        for job in jobs:
            store.queue.give_up(connection, job, "the decoder dies")
    hands.time += 10**6
    assert store.queue.lease("assess", "w1", 60) == []
    listed = store.queue.listed(["dead"])
    assert [(row["uid"], row["problem"]) for row in listed] == [
        (f"1.2.{n}", "the decoder dies") for n in (1, 2, 3)
    ]
    assert store.queue.drop([jobs[1].id]) == 1
    assert store.queue.revive([jobs[0].id]) == 1
    again = one(store)
    assert (again.id, again.tries) == (jobs[0].id, 1)
    assert store.queue.counts() == {("assess", "leased"): 1, ("assess", "dropped"): 1, ("assess", "dead"): 1}
    assert store.queue.revive() == 1
    assert store.queue.drop([again.id]) == 0  # somebody is at it


def test_what_a_dead_process_had_leased_is_free_at_once(store, hands):
    fill(store, 3)
    store.queue.lease("assess", "node-1", 9999, most=2)
    store.queue.lease("assess", "node-2", 9999)
    assert store.queue.free("node-1") == 2
    assert [job.instance_id for job in store.queue.lease("assess", "node-1", 60, most=9)] == [1, 2]


def test_many_workers_do_each_job_once(url, database):
    store = Store(database)
    fill(store, 60)
    done, lock = [], threading.Lock()

    def work(owner):
        mine = Store(Database(url))
        while mine.queue.has_due("assess"):
            for job in mine.queue.lease("assess", owner, 60, most=2):
                mine.assessed(job, Verdict("accept", owner), [])
                with lock:
                    done.append(job.instance_id)
        mine.database.close()

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(1, 61))
    assert store.trail.broken() is None


def test_a_job_is_made_once(store):
    fill(store, 1, [("forward", "pacs")])
    with store.database.writing() as connection:
        store.queue.add(connection, [1], [("forward", "pacs"), ("forward", "backup")])
    assert [(row["kind"], row["peer"]) for row in job_rows(store)] == [
        ("forward", "pacs"),
        ("forward", "backup"),
    ]


def test_a_clock_that_is_set_back_delays_nothing(store, monkeypatch):
    fill(store)
    job = one(store, seconds=30)
    with store.database.writing() as connection:
        store.queue.again(connection, job, "later", after=0.05)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    # in the process that runs, and in one that starts now
    fresh = Store(store.database)
    assert abs(fresh.clock.now() - store.clock.now()) < 5
    time.sleep(0.1)
    assert one(store).id == job.id
    assert Queue(store.database, Clock()).lease("assess", "w", 60) == []  # what would happen otherwise


def test_sqlite_syncs_each_commit(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/x.db")
    with database.reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA cache_size")).scalar() == -512
    database.close()
