"""Three hundred studies from Orthanc and storescu; verdict objects come back into Orthanc and are found."""

import json
import subprocess
from collections import Counter

import pytest
from pydicom.uid import generate_uid

from tests.dicom.net.objects import write
from tests.service.nodes import all_done, running, settings, until
from tests.service.orthanc import orthanc
from xiqa.export import export_model
from xiqa.models import load_model
from xiqa.simulation.chest.simulate import simulate_chest
from xiqa.simulation.dx import write_dx


@pytest.mark.long
def test_three_hundred_studies_make_the_round(tmp_path):
    uids = [generate_uid() for _ in range(300)]
    (tmp_path / "files").mkdir()
    for number, uid in enumerate(uids):
        write(tmp_path / "files" / f"{number}.dcm", uid, seed=number)
    files = [str(tmp_path / "files" / f"{number}.dcm") for number in range(300)]
    with orthanc(tmp_path / "orthanc") as archive:
        pacs = {"name": "pacs", "ae": "ORTHANC", "host": "127.0.0.1", "port": archive.dicom}
        wanted = settings(tmp_path, peers=[{**pacs, "results": ["sc", "sr"], "confirm": "find"}])
        with running(wanted) as node:
            port = node.server.port
            # half from a modality, half from the archive, which so has their originals already
            subprocess.run(["storescu", "127.0.0.1", str(port), *files[:150]], check=True, timeout=200)
            subprocess.run(
                ["storescu", "127.0.0.1", str(archive.dicom), *files[150:]], check=True, timeout=200
            )
            modality = json.dumps({"AET": "XIQA", "Host": "127.0.0.1", "Port": port}).encode()
            archive.put("/modalities/node", modality)
            numbers = archive.find(PatientID="P1")
            archive.post("/modalities/node/store", json.dumps(numbers).encode())
            until(lambda: all_done(node, uids), 300)
            rows = [node.store.find(uid) for uid in uids]
            assert node.store.trail.broken() is None
        assert all(row["verdict"] in ("accept", "reacquire") for row in rows)
        assert Counter(len(row["results"]) for row in rows) == {2: 300}
        assert all(
            delivery["outcome"] in ("taken", "confirmed") for row in rows for delivery in row["deliveries"]
        )
        assert archive.get("/statistics")["CountInstances"] == 900
        for row in rows[::60]:
            found = archive.qido(StudyInstanceUID=row["study_uid"])
            assert {item["00080018"]["Value"][0] for item in found} == {
                row["uid"],
                *(result["uid"] for result in row["results"]),
            }


def storescu(port: int, *files) -> None:
    subprocess.run(["storescu", "127.0.0.1", str(port), *map(str, files)], check=True, timeout=200)


@pytest.mark.long
def test_the_shipped_model_s_results_come_back_into_the_archive(tmp_path):
    """The exported shipped model on a simulated radiograph, with the real result objects."""
    model = tmp_path / "model.onnx"
    export_model(load_model("cxr-foreign-objects"), model)
    write_dx(simulate_chest(3), tmp_path / "dx.dcm")
    with orthanc(tmp_path / "orthanc") as archive:
        pacs = {"name": "pacs", "ae": "ORTHANC", "host": "127.0.0.1", "port": archive.dicom}
        wanted = settings(
            tmp_path,
            peers=[{**pacs, "results": ["sc", "sr", "pr"], "confirm": "get"}],
            assessing={"results": "xiqa.dicom:results", "seconds": 120, "memory_mb": 3000},
            models={"chest": {"path": str(model)}},
            rules=[{"name": "chest", "model": "chest", "modality": ["DX"], "body_part": ["CHEST"]}],
        )
        with running(wanted) as node:
            storescu(node.server.port, tmp_path / "dx.dcm")
            until(lambda: node.store.recent() and all_done(node, [node.store.recent()[0]["uid"]]), 200)
            row = node.store.find(node.store.recent()[0]["uid"])
        assert row["verdict"] in ("accept", "reacquire", "review"), row["reason"]
        assert row["model_hash"] == load_model("cxr-foreign-objects").card.hash
        assert {result["kind"] for result in row["results"]} == {"sc", "sr", "pr"}, row["reason"]
        found = archive.qido(StudyInstanceUID=row["study_uid"])
        classes = {item["00080016"]["Value"][0] for item in found}
        assert classes == {
            "1.2.840.10008.5.1.4.1.1.1.1",
            *(result["sop_class"] for result in row["results"]),
        }
        outcomes = Counter(delivery["outcome"] for delivery in row["deliveries"])
        assert outcomes == {"confirmed": 1, "taken": 3}
