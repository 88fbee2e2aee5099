"""What archives answer: no room, success with another content kept, DICOMweb, notes on images."""

import pytest
from pydicom import dcmread

from tests.dicom.net.objects import radiograph
from tests.dicom.net.servers import send
from tests.service.nodes import all_done, bright, running, settings, until
from tests.service.orthanc import orthanc
from tests.service.rows import job_rows
from xiqa.dicom.net.scp import StoreServer
from xiqa.dicom.net.spool import Spool

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("orthanc")
    with orthanc(folder) as server:
        yield server


def pacs(archive, **more) -> dict:
    return {
        "name": "pacs",
        "ae": "ORTHANC",
        "host": "127.0.0.1",
        "port": archive.dicom,
        "seconds": 10,
        **more,
    }


def test_no_room_is_tried_again_until_there_is(tmp_path):
    """An archive below its watermark of free disk answers A700."""
    ds, spool = radiograph(), Spool(tmp_path / "archive", keep_free=2**60)
    archive = StoreServer(spool, title="ORTHANC", address=("127.0.0.1", 0))
    archive.start()
    try:
        to = {"name": "pacs", "ae": "ORTHANC", "host": "127.0.0.1", "port": archive.port}
        with running(settings(tmp_path, peers=[to])) as node:
            assert send(node.server.port, [ds]) == [0]
            until(lambda: [row["status"] for row in job_rows(node.store, kind="forward")] == ["A700"])
            (job,) = job_rows(node.store, kind="forward")
            assert job["problem"] == "refused with A700"
            assert job["state"] in ("waiting", "leased")
            spool.keep_free = 0
            until(lambda: all_done(node, [ds.SOPInstanceUID]), 60)
            (job,) = job_rows(node.store, kind="forward")
            assert (job["state"], job["status"]) == ("done", "0000")
            assert job["tries"] >= 2
        assert [path.stem for path in spool.files()] == [ds.SOPInstanceUID]
    finally:
        archive.stop(1)
        spool.close()


def test_a_success_that_keeps_another_content_is_noticed(archive, tmp_path):
    """Orthanc answers success to a second object of the same UID and keeps the first."""
    first, second = radiograph(seed=1), radiograph(seed=2)
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(second, keyword, getattr(first, keyword))
    assert send(archive.dicom, [first], called="ORTHANC") == [0]
    with running(settings(tmp_path, peers=[pacs(archive, confirm="get")])) as node:
        assert send(node.server.port, [second]) == [0]
        until(lambda: all_done(node, [second.SOPInstanceUID]))
        row = node.store.find(second.SOPInstanceUID)
        (delivery,) = row["deliveries"]
        assert (delivery["status"], delivery["outcome"]) == ("0000", "differs")
        (confirm,) = job_rows(node.store, kind="confirm")
        assert (confirm["state"], confirm["problem"]) == ("dead", "the archive's copy differs: PixelData")


def test_originals_and_results_by_dicomweb(archive, tmp_path):
    ds = bright(4000)
    url = f"http://127.0.0.1:{archive.http}/dicom-web"
    web = {"name": "web", "url": url, "results": ["sc", "sr"], "confirm": "get", "seconds": 10}
    with running(settings(tmp_path, peers=[web])) as node:
        assert send(node.server.port, [ds]) == [0]
        until(lambda: all_done(node, [ds.SOPInstanceUID]))
        row = node.store.find(ds.SOPInstanceUID)
        assert [delivery["outcome"] for delivery in row["deliveries"]] == ["confirmed", "taken", "taken"]
    found = archive.qido(StudyInstanceUID=ds.StudyInstanceUID)
    uids = {item["00080018"]["Value"][0] for item in found}
    assert uids == {row["uid"], *(result["uid"] for result in row["results"])}


def test_a_poor_image_gets_a_note_and_no_image_is_hidden_by_a_model(archive, tmp_path):
    """A verdict makes *Quality Issue* (113010); *Rejected* (113001), which hides, is a person's."""
    poor, fine = bright(4000, seed=1), bright(100, seed=2)
    uids = [str(ds.SOPInstanceUID) for ds in (poor, fine)]
    wanted = settings(
        tmp_path, peers=[pacs(archive, results=["ko"])], assessing={"results": "xiqa.dicom:results"}
    )
    with running(wanted) as node:
        assert send(node.server.port, [poor, fine]) == [0, 0]
        until(lambda: all_done(node, uids), 60)
        rows = [node.store.find(uid) for uid in uids]
    assert [[result["kind"] for result in row["results"]] for row in rows] == [["ko"], []], rows
    (number,) = archive.find(SOPInstanceUID=rows[0]["results"][0]["uid"])
    (tmp_path / "note.dcm").write_bytes(archive.raw(f"/instances/{number}/file"))
    note = dcmread(tmp_path / "note.dcm")
    assert note.ConceptNameCodeSequence[0].CodeValue == "113010"
    assert note.StudyInstanceUID == poor.StudyInstanceUID
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    named = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert named == poor.SOPInstanceUID
