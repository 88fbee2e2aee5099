"""An image is pushed; original, verdict and results are where they belong."""

import json
import time

import pytest

from tests.dicom.net.objects import encode, radiograph
from tests.dicom.net.servers import send
from tests.service.nodes import all_done, bright, running, settings, until
from tests.service.orthanc import orthanc
from tests.service.rows import job_rows
from xiqa.dicom.net.instance import read_part10


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


def peer(archive, **more) -> dict:
    return {
        "name": "pacs", "ae": "ORTHANC", "host": "127.0.0.1", "port": archive.dicom, "seconds": 5, **more
    }  # fmt: skip


def test_the_whole_way(archive, tmp_path):
    wanted = settings(tmp_path, peers=[peer(archive, results=["sc", "sr"], confirm="get")])
    sent = [bright(4000, seed=1), bright(100, seed=2)]
    uids = [str(ds.SOPInstanceUID) for ds in sent]
    contents = [encode(ds) for ds in sent]
    with running(wanted) as node:
        assert send(node.server.port, sent) == [0, 0]
        until(lambda: all_done(node, uids), what=lambda: job_rows(node.store))
        poor, fine = (node.store.find(uid) for uid in uids)
        assert (poor["verdict"], fine["verdict"]) == ("reacquire", "accept")
        assert poor["probability"] == pytest.approx(4000 / 4095)
        assert (poor["rule"], poor["model_hash"]) == ("all", "b" * 64)
        assert json.loads(poor["assessment"])["reason"] == "brightness 0.977"
        assert [(row["uid"], row["outcome"], row["status"]) for row in poor["deliveries"]] == [
            (uids[0], "confirmed", "0000"),
            (poor["results"][0]["uid"], "taken", "0000"),
            (poor["results"][1]["uid"], "taken", "0000"),
        ]
        assert {job["kind"]: job["state"] for job in poor["jobs"]} == dict.fromkeys(
            ("forward", "assess", "confirm", "deliver"), "done"
        )
        assert node.store.trail.broken() is None
    found = archive.qido(StudyInstanceUID=sent[0].StudyInstanceUID)
    assert {row["00080018"]["Value"][0] for row in found} == {
        uids[0], *(row["uid"] for row in poor["results"])
    }  # fmt: skip
    (number,) = archive.find(SOPInstanceUID=uids[0])
    back = tmp_path / "back.dcm"
    back.write_bytes(archive.raw(f"/instances/{number}/file"))
    assert read_part10(back).content == contents[0]  # not a bit was changed


def test_what_no_rule_fits_is_forwarded_and_said_to_be_not_assessed(archive, tmp_path):
    ds = radiograph()
    ds.Modality = "MR"
    with running(settings(tmp_path, peers=[peer(archive, results=["sc"])])) as node:
        assert send(node.server.port, [ds]) == [0]
        until(lambda: all_done(node, [ds.SOPInstanceUID]))
        row = node.store.find(ds.SOPInstanceUID)
    assert row["verdict"] == "not_assessed"
    assert row["reason"] == "no rule names a model for it (modality MR, body part CHEST, view PA)"
    assert row["results"] == []
    assert ds.SOPInstanceUID in archive.uids()


@pytest.mark.parametrize(
    ("station", "reason", "state"),
    [
        ("DIE", "the assessing process died (SIGKILL)", "dead"),
        ("HANG", "the assessing process gave no answer within 2 s", "dead"),
        ("GROW", "it needs more memory than it may take", "done"),
        ("RAISE", "RuntimeError: an unforeseen fault", "done"),
    ],
)
def test_an_image_that_kills_its_process_harms_nobody_else(archive, tmp_path, station, reason, state):
    poison, fine = bright(4000, seed=1), bright(4000, seed=2)
    poison.StationName = station
    wanted = settings(tmp_path, peers=[peer(archive)], assessing={"seconds": 2})
    with running(wanted) as node:
        assert send(node.server.port, [poison, fine]) == [0, 0]
        until(lambda: all_done(node, [poison.SOPInstanceUID, fine.SOPInstanceUID]))
        row = node.store.find(poison.SOPInstanceUID)
        assert (row["verdict"], row["reason"]) == ("not_assessed", reason)
        states = {job["kind"]: job["state"] for job in row["jobs"]}
        assert states == {"forward": "done", "assess": state}
        assert node.store.find(fine.SOPInstanceUID)["verdict"] == "reacquire"
        assert [dead["uid"] for dead in node.store.queue.listed(["dead"])] == (
            [poison.SOPInstanceUID] if state == "dead" else []
        )
    assert {poison.SOPInstanceUID, fine.SOPInstanceUID} <= archive.uids()


def test_forwarding_goes_on_without_any_model(archive, tmp_path):
    ds = bright(4000)
    wanted = settings(
        tmp_path, peers=[peer(archive)], models={"stub": {"path": str(tmp_path / "absent.onnx")}}
    )
    with running(wanted) as node:
        assert send(node.server.port, [ds]) == [0]
        until(lambda: ds.SOPInstanceUID in archive.uids())
        until(lambda: job_rows(node.store, kind="assess")[0]["problem"])
        (job,) = job_rows(node.store, kind="assess")
        assert job["state"] == "waiting"
        assert "the model cannot be loaded" in job["problem"]


def test_assessing_can_be_switched_off_while_forwarding_goes_on(archive, tmp_path):
    first, second = bright(4000, seed=1), bright(4000, seed=2)
    with running(settings(tmp_path, peers=[peer(archive)])) as node:
        node.store.switch("assessing", "off", actor="lead")
        send(node.server.port, [first])
        until(lambda: first.SOPInstanceUID in archive.uids())
        time.sleep(0.5)
        assert node.store.find(first.SOPInstanceUID)["verdict"] == ""
        node.store.switch("assessing", "on", actor="lead")
        send(node.server.port, [second])
        until(lambda: all_done(node, [first.SOPInstanceUID, second.SOPInstanceUID]))
        assert node.store.find(first.SOPInstanceUID)["verdict"] == "reacquire"
