"""Files of what is done leave by age and by size; what is not done stays, and every row."""

import time

import pytest

from tests.dicom.net.objects import instance
from tests.service.rows import job_rows
from xiqa.dicom.net.spool import Spool
from xiqa.service.records.store import StoredResult, Verdict
from xiqa.service.settings import Node
from xiqa.service.work.intake import Intake
from xiqa.service.work.retention import Retention

DAY = 86_400.0
sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@pytest.fixture
def shelf(tmp_path, store):
    """Six originals, received five, four, ... and no days ago; how each can be finished."""

    class Shelf:
        def __init__(self):
            self.spool = Spool(tmp_path / "spool")
            (tmp_path / "results").mkdir()
            self.made = [instance(f"1.2.{number}", seed=number, rows=20 + number) for number in range(6)]
            Intake(self.spool, store, [("assess", "")])._add([self._row(number) for number in range(6)])

        def _row(self, number):
            made = self.made[number]
            stored = self.spool.store(made)
            return {
                "uid": made.uid, "sop_class": made.sop_class, "transfer_syntax": made.transfer_syntax,
                "sha256": stored.sha256, "size": stored.size, "path": stored.path,
                "received": time.time() - (5 - number) * DAY - 60,
            }  # fmt: skip

        def finish(self, *numbers):
            for job in store.queue.lease("assess", "w", 60, most=6):
                number = job.instance_id - 1
                if number in numbers:
                    (tmp_path / "results" / f"9.{number}.dcm").write_bytes(b"result")
                    result = StoredResult("sr", f"9.{number}", "1.2", f"9.{number}.dcm")
                    store.assessed(job, Verdict("accept", "", results=(result,)), [])

        def keeper(self, **choices):
            return Retention(Node(folder=tmp_path, **choices), store, self.spool)

        def left(self):
            return {int(path.stem.rsplit(".", 1)[1]) for path in self.spool.files()}

        def results(self):
            return {int(path.stem[2:]) for path in (tmp_path / "results").iterdir()}

    made = Shelf()
    yield made
    made.spool.close()


def test_what_is_done_and_old_goes_and_its_row_stays(shelf, store):
    shelf.finish(0, 1, 2, 4, 5)  # the fourth is two days old and not done
    assert shelf.keeper(keep_days=1.5).sweep() == 3
    assert shelf.left() == {3, 4, 5}
    assert shelf.results() == {4, 5}
    assert [row["spooled"] for row in map(store.instance, range(1, 7))] == [False] * 3 + [True] * 3
    assert store.instance(1)["verdict"] == "accept"
    assert shelf.keeper(keep_days=1.5).sweep() == 0


@sqlite
def test_a_dead_job_keeps_its_file_until_a_person_has_looked(shelf, store):
    (job,) = store.queue.lease("assess", "w", 60)
    with store.database.writing() as connection:
        store.queue.give_up(connection, job, "poison")
    assert shelf.keeper(keep_days=0).sweep() == 0
    assert shelf.left() == {0, 1, 2, 3, 4, 5}
    store.queue.drop([job.id])
    assert shelf.keeper(keep_days=0).sweep() == 1
    assert shelf.left() == {1, 2, 3, 4, 5}


@sqlite
def test_the_oldest_that_is_done_goes_until_the_rest_fits(shelf, store):
    """Twenty are removed at a time; six are fewer."""
    sizes = [store.instance(number)["size"] for number in range(1, 7)]
    shelf.finish(1, 2)
    assert shelf.keeper(keep_days=99, keep_gb=sum(sizes) / 1e9).sweep() == 0
    assert shelf.keeper(keep_days=99, keep_gb=(sum(sizes) - 1) / 1e9).sweep() == 2
    assert shelf.left() == {0, 3, 4, 5}
    assert shelf.keeper(keep_days=99, keep_gb=1e-9).sweep() == 0  # the rest is not done, however full it is


@sqlite
def test_the_same_content_again_is_still_known_when_its_file_has_gone(shelf, store):
    shelf.finish(0)
    shelf.keeper(keep_days=1).sweep()
    assert not shelf.spool.store(shelf.made[0], store.known("1.2.0")).fresh
    assert shelf.left() == {1, 2, 3, 4, 5}
    assert len(job_rows(store)) == 6


@sqlite
def test_a_file_that_a_crash_left_behind_its_row_is_removed_at_the_next_start(shelf, store, monkeypatch):
    shelf.finish(0, 1)
    with monkeypatch.context() as broken:
        broken.setattr(Spool, "remove", lambda self, uid: 1 / 0)  # the power goes after the commit
        with pytest.raises(ZeroDivisionError):
            shelf.keeper(keep_days=1).sweep()
    assert shelf.left() == {0, 1, 2, 3, 4, 5}
    assert shelf.keeper(keep_days=99).remove_left_over() == 2
    assert shelf.left() == {2, 3, 4, 5}
