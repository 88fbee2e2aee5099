"""What the receiver said is what is kept, and what it took is never sent again."""

import pytest

from tests.dicom.net.objects import encode, instance, radiograph
from tests.service.rows import job_rows
from tests.service.test_jobs import Hands
from xiqa.dicom.net.answers import Answer
from xiqa.dicom.net.compare import differences
from xiqa.dicom.net.instance import Instance
from xiqa.dicom.net.spool import Spool
from xiqa.errors import NetworkError
from xiqa.service.records.store import StoredResult, Verdict
from xiqa.service.settings import Peer
from xiqa.service.work.delivering import Courier
from xiqa.service.work.intake import Intake


class Shelf:
    """An archive that answers as it is told."""

    def __init__(self):
        self.statuses, self.sent, self.held = [], [], {}
        self.away = False

    def send(self, files):
        self.sent.append([file.uid for file in files])
        statuses = [self.statuses.pop(0) if self.statuses else 0 for _ in files]
        return [Answer(file.uid, status) for file, status in zip(files, statuses, strict=True)]

    def has(self, wanted, study, series):
        if self.away:
            raise NetworkError("away")
        return wanted.uid in self.held

    def fetch(self, wanted, study, series):
        return self.held.get(wanted.uid)

    def echo(self):
        return ""


@pytest.fixture
def bench(tmp_path, store):
    """Two originals that wait, a clock in the hand, an archive."""

    class Bench:
        archive, clock = Shelf(), Hands()

        def courier(self, **more):
            peer = Peer(name="pacs", ae="A", host="h", port=1, results=("sr", "sc"), **more)
            return Courier(peer, self.archive, store, tmp_path, "w1")

        def later(self, seconds=1000.0):
            self.clock.time += seconds

    spool = Spool(tmp_path / "spool")
    made = [instance("1.2.1", seed=1), instance("1.2.2", seed=2)]
    for item in made:
        spool.store(item)
    Intake(spool, store, [("forward", "pacs"), ("assess", "")]).reconcile()
    spool.close()
    bench = Bench()
    bench.made = {item.uid: item for item in made}
    bench.clock.time = store.clock.now() + 1
    store.clock = store.queue._clock = store.trail._clock = bench.clock
    return bench


def states(store, kind="forward"):
    return {row["instance_id"]: (row["state"], row["status"]) for row in job_rows(store, kind=kind)}


def taken(store):
    return {uid: store.find(uid)["deliveries"] for uid in ("1.2.1", "1.2.2")}


def test_one_association_takes_all_that_wait(bench, store):
    courier = bench.courier()
    assert courier.step_forward()
    assert [sorted(batch) for batch in bench.archive.sent] == [["1.2.1", "1.2.2"]]
    assert set(states(store).values()) == {("done", "0000")}
    assert not courier.step_forward()


def test_each_answer_counts_for_its_own_object(bench, store):
    bench.archive.statuses = [0xA700, 0]
    courier = bench.courier()
    courier.step_forward()
    first, second = states(store)[1], states(store)[2]
    assert {first, second} == {("waiting", "A700"), ("done", "0000")}
    (waiting,) = job_rows(store, state="waiting", kind="forward")
    bench.later()
    courier.step_forward()
    assert bench.archive.sent[1] == [store.instance(waiting["instance_id"])["uid"]]
    assert set(states(store).values()) == {("done", "0000")}


def test_no_room_and_no_answer_are_tried_for_days_and_then_left_to_a_person(bench, store):
    courier = bench.courier(give_up_hours=48)
    for _ in range(40):
        bench.archive.statuses = [0xA700, None]
        courier.step_forward()
        bench.later(3600)
        if {state for state, _ in states(store).values()} != {"waiting"}:
            break
    assert set(states(store).values()) == {("waiting", "A700"), ("waiting", "none")}
    bench.later(9 * 3600)
    bench.archive.statuses = [0xA700, None]
    courier.step_forward()
    assert {state for state, _ in states(store).values()} == {"dead"}
    assert store.queue.revive() == 2
    courier.step_forward()
    assert set(states(store).values()) == {("done", "0000")}


def test_what_is_refused_again_and_again_is_left_to_a_person(bench, store):
    bench.archive.statuses = [0xC000] * 100
    courier = bench.courier()
    for _ in range(9):
        courier.step_forward()
        bench.later()
    assert set(states(store).values()) == {("dead", "C000")}
    assert len(bench.archive.sent) == 5
    assert taken(store) == {"1.2.1": [], "1.2.2": []}


def test_a_warning_is_a_success_and_is_kept_as_it_was_said(bench, store):
    bench.archive.statuses = [0xB000, 0]
    bench.courier().step_forward()
    assert {row[0]["status"] for row in taken(store).values()} == {"B000", "0000"}


def test_after_a_lost_answer_the_archive_is_asked_first(bench, store):
    bench.archive.statuses = [None, None]
    courier = bench.courier(confirm="find")
    courier.step_forward()
    bench.archive.held = dict(bench.made)  # both arrived, only the answers did not
    bench.later()
    courier.step_forward()
    assert len(bench.archive.sent) == 1
    assert set(states(store).values()) == {("done", "0000")}


def test_when_it_answers_again_nothing_waits_for_its_next_try(bench, store):
    bench.archive.statuses = [None, None]
    courier = bench.courier(batch=1)
    courier.step_forward()
    courier.step_forward()
    due = {row["id"]: row["due"] for row in job_rows(store, kind="forward")}
    bench.clock.time = min(due.values())
    courier.step_forward()
    assert courier.step_forward()  # the other one too, though its time has not come
    assert set(states(store).values()) == {("done", "0000")}


def confirmed(bench, store, confirm="get"):
    courier = bench.courier(confirm=confirm)
    courier.step_forward()
    while courier.step_forward():
        pass
    return {uid: rows[0]["outcome"] for uid, rows in taken(store).items()}


def test_what_is_there_is_confirmed(bench, store):
    bench.archive.held = dict(bench.made)
    assert set(confirmed(bench, store).values()) == {"confirmed"}
    assert set(states(store, "confirm").values()) == {("done", "confirmed")}


def test_a_success_that_keeps_another_content_is_noticed(bench, store):
    changed = instance("1.2.1", seed=9)
    bench.archive.held = bench.made | {"1.2.1": changed}
    assert confirmed(bench, store) == {"1.2.1": "differs", "1.2.2": "confirmed"}
    (dead,) = store.queue.listed(["dead"])
    assert (dead["uid"], dead["kind"]) == ("1.2.1", "confirm")
    assert "PixelData" in dead["problem"]
    assert any(row["kind"] == "differs" for row in store.events_after(0))


def test_a_success_that_keeps_nothing_is_noticed(bench, store):
    bench.archive.held = {"1.2.2": bench.made["1.2.2"]}
    courier = bench.courier(confirm="find")
    for _ in range(9):
        while courier.step_forward():
            pass
        bench.later()
    assert {uid: rows[0]["outcome"] for uid, rows in taken(store).items()} == {
        "1.2.1": "missing", "1.2.2": "confirmed"
    }  # fmt: skip


def test_an_archive_that_cannot_be_asked_is_asked_later(bench, store):
    bench.archive.away = True
    courier = bench.courier(confirm="find")
    while courier.step_forward():
        pass
    assert {state for state, _ in states(store, "confirm").values()} == {"waiting"}
    bench.archive.away, bench.archive.held = False, dict(bench.made)
    bench.later()
    while courier.step_forward():
        pass
    assert set(states(store, "confirm").values()) == {("done", "confirmed")}


def assess(store, then=(("deliver", "pacs"),)):
    results = (StoredResult("sr", "9.1", "c", "9.1.dcm"), StoredResult("sc", "9.2", "c", "9.2.dcm"))
    (job,) = store.queue.lease("assess", "w", 60)
    kept = tuple(
        StoredResult(row.kind, f"{row.uid}.{job.instance_id}", "c", f"{row.uid}.{job.instance_id}.dcm")
        for row in results
    )
    store.assessed(job, Verdict("review", "x", results=kept), then)
    return [row.uid for row in kept]


def test_results_follow_their_original(bench, store):
    uids = assess(store)
    courier = bench.courier()
    assert courier.step_deliver()
    assert bench.archive.sent == []
    courier.step_forward()
    assert courier.step_deliver()  # at once
    assert bench.archive.sent[-1] == uids
    assert states(store, "deliver") == {1: ("done", "0000")}


def test_a_result_that_was_taken_is_never_sent_again(bench, store):
    uids = assess(store)
    courier = bench.courier()
    courier.step_forward()
    bench.archive.statuses = [0, 0xA700]
    courier.step_deliver()
    assert states(store, "deliver") == {1: ("waiting", "A700")}
    bench.later()
    courier.step_deliver()
    assert bench.archive.sent[-2:] == [uids, uids[1:]]
    assert states(store, "deliver") == {1: ("done", "0000")}
    original = store.instance(1)["uid"]
    assert [row["uid"] for row in store.find(original)["deliveries"]] == [original, *uids]
    store.queue.revive([row["id"] for row in job_rows(store, kind="deliver")])
    courier.step_deliver()
    assert len(bench.archive.sent) == 3


def test_only_the_kinds_that_a_peer_wants(bench, store):
    uids = assess(store)
    peer = Peer(name="pacs", ae="A", host="h", port=1, results=("sc",), originals=False)
    Courier(peer, bench.archive, store, bench.courier()._spool.parent, "w1").step_deliver()
    assert bench.archive.sent == [[uids[1]]]


def test_a_job_that_took_too_long_changes_nothing(bench, store):
    courier = bench.courier()
    send = bench.archive.send

    def slow(files):
        bench.later(10**4)
        assert len(store.queue.lease("forward", "w2", 60, most=9)) == 2
        return send(files)

    bench.archive.send = slow
    assert courier.step_forward()
    assert {state for state, _ in states(store).values()} == {"leased"}
    assert taken(store) == {"1.2.1": [], "1.2.2": []}


def as_instance(ds) -> Instance:
    return Instance(str(ds.SOPClassUID), str(ds.SOPInstanceUID), "1.2.840.10008.1.2.1", encode(ds))


def test_differences_are_those_that_matter():
    ours = as_instance(radiograph("1.2.3"))
    ds = radiograph("1.2.3")
    ds.StudyInstanceUID = "1.9"
    ds.SeriesInstanceUID = "1.8"
    ds.PatientName, ds.AccessionNumber = "Corrected^Name", "A2"
    assert differences(ours, as_instance(ds)) == ["StudyInstanceUID", "SeriesInstanceUID"]
    ds.PixelData = bytes(len(ds.PixelData))
    ds.Rows = 21
    assert differences(ours, as_instance(ds)) == [
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "Rows",
        "PixelData",
    ]
    recoded = Instance(ours.sop_class, ours.uid, "1.2.840.10008.1.2.4.70", ours.content)
    assert differences(ours, recoded) == []
