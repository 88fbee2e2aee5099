"""The commands, as a person uses them."""

import json
import subprocess
import sys
import urllib.request

import pytest

from tests.dicom.net.objects import radiograph, write
from tests.dicom.net.servers import send
from tests.service.orthanc import orthanc
from tests.service.processes import configuration, peer, serving, wait_until
from xiqa.service.records.database import Database
from xiqa.service.records.store import Store
from xiqa.service.settings import read_settings


def xiqa(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "xiqa", *map(str, words)], capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


def get(port: int, path: str):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.loads(answer.read())


def verdicts(port: int) -> dict[str, str]:
    return {row["uid"]: row["verdict"] for row in get(port, "/api/instances")}


@pytest.mark.long
def test_a_node_serves_and_stops_in_order(archive, tmp_path):
    watched = tmp_path / "in"
    config = configuration(tmp_path, peer(archive.dicom, confirm="find"))
    config.write_text(config.read_text().replace("[intake]", '[intake]\nwatch = ["in"]'))
    with serving(config) as node:
        wait_until(lambda: get(node.http, "/ready")["ready"])
        ds = radiograph()
        assert send(node.dicom, [ds]) == [0]
        (watched / "deep").mkdir(parents=True)
        watched_uid = write(watched / "deep" / "a b.dcm", seed=4)
        (watched / "not.dcm").write_text("nothing")
        (watched / "link.dcm").symlink_to("/etc/hostname")
        for uid in (str(ds.SOPInstanceUID), watched_uid):
            row = wait_until(
                lambda uid=uid: (
                    (r := next((i for i in get(node.http, "/api/instances") if i["uid"] == uid), None))
                    and r["verdict"]
                    and r
                )
            )
            assert row["verdict"] in ("accept", "reacquire")
        wait_until(lambda: not (watched / "deep" / "a b.dcm").exists())
        wait_until(lambda: list((watched / "refused").glob("*-unreadable")))
        assert (watched / "link.dcm").is_symlink()
        wait_until(lambda: {str(ds.SOPInstanceUID), watched_uid} <= archive.uids())
        assert node.stop() == 0
    log = [json.loads(line) for line in (tmp_path / "serve.log").read_text().splitlines()]
    assert [row["event"] for row in log][-1] == "the node has stopped"
    assert "Phantom" not in (tmp_path / "serve.log").read_text()
    store = Store(Database(read_settings(config).node.url))
    assert log[-1]["head"] == store.trail.head()
    store.database.close()


@pytest.mark.long
def test_check_says_what_works_and_what_does_not(archive, tmp_path):
    config = configuration(tmp_path, peer(archive.dicom))
    done = xiqa("serve", "check", "--config", config)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert {name[:7] for name in lines} == {"ok     "}
    assert lines["ok      peer pacs"] == "it answers"
    assert lines["ok      model stub"] == "tests.service.models:brightness loads"
    broken = configuration(
        tmp_path,
        peer(1, name="away", seconds=2),
        node="",
        more='[models.absent]\npath = "nowhere.onnx"\n[[rules]]\nname = "b"\nmodel = "absent"\n',
    )
    broken.write_text(broken.read_text().replace("keep_free_mb = 0", "keep_free_mb = 900000000"))
    done = xiqa("serve", "check", "--config", broken)
    assert done.returncode == 1
    problems = {
        line.split(": ", 1)[0].split(None, 1)[1] for line in done.stdout.splitlines() if "PROBLEM" in line
    }
    assert problems == {"disk", "peer away", "model absent"}


@pytest.mark.long
def test_a_wrong_configuration_is_one_line(tmp_path):
    config = tmp_path / "node.toml"
    config.write_text("[node]\nnmae = 3\n")
    for words in (("serve",), ("serve", "check"), ("queue", "list")):
        done = xiqa(*words, "--config", config)
        assert done.returncode == 2
        assert "unknown node.nmae" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.long
def test_the_queue_from_the_command_line(tmp_path):
    config = configuration(tmp_path, peer(1, seconds=1))
    with serving(config) as node:
        ds = radiograph()
        ds.StationName = "DIE"
        send(node.dicom, [ds])
        uid = str(ds.SOPInstanceUID)
        wait_until(lambda: [job for job in get(node.http, "/api/jobs?state=dead") if job["uid"] == uid])
    listed = xiqa("queue", "list", "--config", config)
    line, counts = listed.stdout.splitlines()
    assert uid in line
    assert "assess" in line
    assert "SIGKILL" in line
    assert counts == "Jobs: 1 assess dead, 1 forward waiting"
    number = line.split()[0]
    assert xiqa("queue", "retry", number, "--config", config).stdout == "1 jobs are tried again\n"
    assert "1 assess waiting" in xiqa("queue", "list", "--config", config).stdout
    assert xiqa("queue", "drop", number, "--config", config).stdout == "1 jobs are dropped\n"
    assert xiqa("queue", "retry", "--all", "--config", config).stdout == "0 jobs are tried again\n"
    refused = xiqa("queue", "retry", "--config", config)
    assert refused.returncode == 2
    assert "no jobs are named" in refused.stderr
