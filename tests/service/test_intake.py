"""Every file of the spool gets one row, whatever happens between the two."""

import random
import signal
import subprocess
import sys
import time

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from tests.dicom.net.objects import encode, instance, radiograph
from tests.service.databases import postgres_server
from tests.service.rows import job_rows
from xiqa.dicom.net.instance import Instance
from xiqa.dicom.net.spool import Spool
from xiqa.service.records.database import Database
from xiqa.service.records.store import Store
from xiqa.service.work.intake import Intake, header_of

WANTED = [("forward", "pacs"), ("assess", "")]


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


def until(condition, seconds=20.0):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_what_arrives_becomes_a_row_with_its_jobs(spool, store):
    intake = Intake(spool, store, WANTED)
    intake.start()
    made = [instance(f"1.2.{n}", seed=n) for n in range(3)]
    for item in made:
        intake.arrived(item, spool.store(item))
        intake.arrived(item, spool.store(item))  # the sender did not get the answer
    intake.stop()
    rows = store.recent()
    assert [row["uid"] for row in rows] == ["1.2.2", "1.2.1", "1.2.0"]
    assert len(job_rows(store)) == 6
    row = rows[0]
    assert row["sha256"] == made[2].sha256
    assert (spool.root / row["path"]).stat().st_size == row["size"]
    assert abs(row["received"] - time.time()) < 60
    expected = {"source": "MODALITY", "called": "XIQA", "address": "10.0.0.7", "modality": "CR"}
    expected |= {"body_part": "CHEST", "view": "PA", "verdict": "", "spooled": True}
    assert {name: row[name] for name in expected} == expected


def test_files_without_rows_get_them_at_the_start(spool, store):
    for number in range(130):
        spool.store(instance(f"1.2.{number}", seed=number))
    intake = Intake(spool, store, WANTED)
    assert intake.reconcile() == 130
    assert intake.reconcile() == 0
    assert len(store.recent(200)) == 130
    assert len(job_rows(store)) == 260
    row = store.find("1.2.7")
    assert (row["source"], row["called"], row["modality"]) == ("MODALITY", "XIQA", "CR")


def test_found_and_told_give_the_same_row(spool, store, tmp_path):
    made = instance("1.2.3")
    stored = spool.store(made)
    first = Intake(spool, store, WANTED)
    first.start()
    first.arrived(made, stored)
    first.stop()
    told = store.find("1.2.3")
    another = Database(f"sqlite:///{tmp_path}/other.db")
    another.upgrade()
    other = Store(another)
    Intake(spool, other, WANTED).reconcile()
    found = other.find("1.2.3")
    for name in set(told) - {"received", "jobs", "deliveries", "results"}:
        assert told[name] == found[name], name
    assert abs(told["received"] - found["received"]) < 5


def test_a_file_of_another_content_is_named(spool, store):
    spool.store(instance("1.2.3", seed=1))
    named = []
    intake = Intake(spool, store, WANTED, conflict=named.append)
    intake.reconcile()
    spool.remove("1.2.3")
    changed = instance("1.2.3", seed=2)
    intake.start()
    until(lambda: not intake.behind.is_set())
    intake.arrived(changed, spool.store(changed))  # as if the database had been away when it came
    intake.stop()
    assert named == ["1.2.3"]
    assert len(job_rows(store)) == 2


def test_a_broken_file_in_the_spool_hides_no_other(spool, store):
    spool.store(instance("1.2.3"))
    (spool.root / "a" / "1.9.dcm").write_bytes(b"not DICOM")
    assert Intake(spool, store, WANTED).reconcile() == 2
    assert [row["uid"] for row in store.recent()] == ["1.2.3"]


def header(ds: Dataset) -> dict:
    return header_of(Instance("1", "1.2", str(ExplicitVRLittleEndian), encode(ds)))


def test_the_header_s_texts_are_plain_and_short():
    ds = radiograph()
    ds.StationName = "X" * 16
    ds.ManufacturerModelName = "<script>\r\nDrop" + "y" * 90
    ds.AcquisitionDate, ds.AcquisitionTime = "20260203", "101112"
    found = header(ds)
    assert found["acquired"] == "20260203101112"
    assert found["device"] == ("<script>Drop" + "y" * 90)[:64]
    ds.AcquisitionDateTime = "20270203101112.5"
    assert header(ds)["acquired"] == "20270203101112.5"


def test_what_cannot_be_read_has_an_empty_header():
    empty = header_of(Instance("1", "1.2", "1.2.840.10008.1.2", b"\xff" * 100))
    assert set(empty.values()) == {""}
    assert set(header_of(Instance("1", "1.2", "1.2.840.10008.1.2.1", b"")).values()) == {""}
    opened = b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    nested = header_of(Instance("1", "1.2", "1.2.840.10008.1.2.1", opened * 3000))
    assert set(nested.values()) == {""}


RECEIVER = """
import sys
from pathlib import Path
from tests.dicom.net.objects import instance
from xiqa.dicom.net.spool import Spool
from xiqa.service.records.database import Database
from xiqa.service.work.intake import Intake
from xiqa.service.records.store import Store
database = Database(sys.argv[2])
spool = Spool(Path(sys.argv[1]))
intake = Intake(spool, Store(database), [("forward", "pacs"), ("assess", "")])
intake.start()
for n in range(int(sys.argv[3]), 10**9):
    made = instance(f"1.2.{n}", seed=n)
    stored = spool.store(made)
    print(n, flush=True)
    intake.arrived(made, stored)
"""


@pytest.mark.long
def test_killed_at_any_moment_each_acknowledged_object_has_one_row(url, database, tmp_path):
    rng = random.Random(3)
    store, acknowledged, start = Store(database), set(), 0
    for _ in range(12):
        receiver = subprocess.Popen(
            [sys.executable, "-c", RECEIVER, str(tmp_path / "spool"), url, str(start)],
            stdout=subprocess.PIPE,
            text=True,
        )
        acknowledged.add(int(receiver.stdout.readline()))
        time.sleep(rng.uniform(0, 0.3))
        receiver.send_signal(signal.SIGKILL)
        acknowledged |= {int(line) for line in receiver.stdout.read().splitlines()}
        receiver.wait()
        start = max(acknowledged) + 2
    spool = Spool(tmp_path / "spool")
    Intake(spool, store, WANTED).reconcile()
    files = {path.stem for path in spool.files()}
    spool.close()
    rows = [row["uid"] for row in store.recent(10**6)]
    assert {f"1.2.{n}" for n in acknowledged} <= files
    assert sorted(rows) == sorted(files)
    assert len(job_rows(store)) == 2 * len(files)
    assert store.trail.broken() is None


@pytest.mark.long
def test_a_database_that_goes_and_comes_back_loses_nothing(spool):
    with postgres_server() as server:
        database = Database(server.database("node"))
        database.upgrade()
        store = Store(database)
        intake = Intake(spool, store, WANTED)
        intake.start()
        first = instance("1.2.1")
        intake.arrived(first, spool.store(first))
        until(lambda: store.known("1.2.1"))
        server.stop()
        for number in range(2, 40):
            made = instance(f"1.2.{number}", seed=number)
            intake.arrived(made, spool.store(made))
        until(intake.behind.is_set)
        server.start()
        until(lambda: len(store.recent(100)) == 39)
        assert len(job_rows(store)) == 78
        intake.stop()
        database.close()
