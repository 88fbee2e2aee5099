"""A clock that is set back, a database that goes, a worker that is too slow: the node goes on."""

import time

import pytest

from tests.dicom.net.objects import instance, radiograph
from tests.dicom.net.servers import send
from tests.service.databases import postgres_server
from tests.service.nodes import all_done, bright, running, settings, until
from tests.service.rows import job_rows
from tests.service.test_jobs import Hands
from xiqa.dicom.net.spool import Spool
from xiqa.service.work.assessing import Assessing, clear_results
from xiqa.service.work.intake import Intake


@pytest.mark.long
def test_a_clock_that_is_set_back_while_the_node_runs_and_before_it_starts_again(tmp_path, monkeypatch):
    real, images = time.time, [bright(level) for level in (100, 4000, 200)]
    uids = [str(ds.SOPInstanceUID) for ds in images]
    with running(settings(tmp_path)) as node:
        assert send(node.server.port, images[:1]) == [0]
        until(lambda: all_done(node, uids[:1]))
        monkeypatch.setattr(time, "time", lambda: real() - 7200)
        assert send(node.server.port, images[1:2]) == [0]
        until(lambda: all_done(node, uids[:2]))
    with running(settings(tmp_path)) as node:
        assert send(node.server.port, images[2:]) == [0]
        until(lambda: all_done(node, uids))
        rows = [node.store.find(uid) for uid in uids]
        assert [row["verdict"] for row in rows] == ["accept", "reacquire", "accept"], rows
        assert [job["state"] for job in job_rows(node.store)] == ["done"] * 3
        assert node.store.trail.broken() is None


def test_of_two_workers_with_one_lease_one_is_believed(tmp_path, store):
    """The first is slow beyond its lease; the second does the job meanwhile, and the first comes back."""
    spool = Spool(tmp_path / "node" / "spool")
    made = instance("1.2.1", seed=1)
    spool.store(made)
    wanted = settings(tmp_path, peers=[{"name": "p", "ae": "P", "host": "h", "port": 1, "results": ["sr"]}])
    Intake(spool, store, [("assess", "")]).reconcile()
    spool.close()
    hands = Hands(store.clock.now() + 1)
    store.clock = store.queue._clock = store.trail._clock = hands
    clear_results(store, wanted.node)
    slow, quick = (Assessing(wanted, store, owner) for owner in ("slow", "quick"))

    class Answer:
        def __init__(self, verdict, meanwhile=lambda: None):
            self.verdict, self.meanwhile = verdict, meanwhile

        def assess(self, *_order):
            self.meanwhile()
            told = {"verdict": self.verdict, "reason": "", "probability": 0.5, "provenance": {}}
            return {"assessment": told, "problem": "", "results": []}

    def overtake():
        hands.time += 3600
        assert quick.step()

    slow._assessor, quick._assessor = Answer("accept", overtake), Answer("reacquire")
    assert slow.step()
    assert store.find("1.2.1")["verdict"] == "reacquire"
    (job,) = job_rows(store, kind="assess")
    assert (job["state"], job["owner"], job["fence"]) == ("done", "quick", 2)
    assert [row["kind"] for row in store.events_after(0)] == ["received", "assessed"]
    assert not slow.step()
    assert not quick.step()


@pytest.mark.long
def test_with_the_database_away_images_are_taken_in_and_assessed_when_it_is_back(tmp_path):
    images = [radiograph(seed=number) for number in range(7)]
    uids = [str(ds.SOPInstanceUID) for ds in images]
    with postgres_server() as server:
        wanted = settings(tmp_path, node={"database": server.database("node")})
        with running(wanted) as node:
            assert send(node.server.port, images[:2]) == [0, 0]
            until(lambda: all_done(node, uids[:2]))
            server.stop()
            assert send(node.server.port, images[2:]) == [0] * 5
            until(lambda: {"database", "rows"} <= set(node.problems()))
            server.start()
            until(lambda: all_done(node, uids), 60)
            until(lambda: not node.problems())
            verdicts = [node.store.find(uid)["verdict"] for uid in uids]
            assert all(verdict in ("accept", "reacquire") for verdict in verdicts)
            assert len(job_rows(node.store)) == 7
            assert node.store.trail.broken() is None
