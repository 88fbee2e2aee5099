"""The node over HTTP."""

import json
import socket
import threading
import time
import urllib.request
import uuid

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import content_type_conformance, not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.dicom.net.objects import instance
from tests.service.nodes import all_done, settings, until
from xiqa.dicom.net.answers import File
from xiqa.dicom.net.instance import part10
from xiqa.dicom.net.web import WebArchive, parts_of
from xiqa.errors import NetworkError
from xiqa.service.api.app import WebServer, make_app
from xiqa.service.node import Node

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    made = Node(settings(tmp_path_factory.mktemp("node")))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(node):
    return TestClient(make_app(node), base_url="http://localhost")


def file_of(uid=None, **choices) -> tuple[str, bytes]:
    made = instance(uid, **choices)
    return made.uid, part10(made) + made.content


def stow(client, *parts: bytes, **headers):
    mark = uuid.uuid4().hex
    body = b"".join(
        f"--{mark}\r\nContent-Type: application/dicom\r\n\r\n".encode() + p + b"\r\n" for p in parts
    )
    kind = f'multipart/related; type="application/dicom"; boundary={mark}'
    headers = {"Content-Type": kind, **headers}
    return client.post("/dicom-web/studies", content=body + f"--{mark}--\r\n".encode(), headers=headers)


def test_alive_and_ready(client, node):
    until(lambda: not node.intake.behind.is_set())
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"ready": True, "problems": {}}


def test_what_keeps_it_from_work_is_said(client, node, monkeypatch):
    monkeypatch.setattr(node.spool, "keep_free", 10**15)
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "problems": {"disk": "the watermark is reached"}}


def test_stow_takes_files_in_and_they_are_assessed(client, node):
    uid, content = file_of(seed=1)
    answer = stow(client, content)
    assert answer.status_code == 200
    assert answer.json()["00081199"]["Value"][0]["00081155"]["Value"] == [uid]
    until(lambda: all_done(node, [uid]))
    row = client.get(f"/api/instances/{uid}").json()
    assert row["verdict"] in ("accept", "reacquire")
    assert row["source"] == "STOW"
    assert str(node.spool.root) not in json.dumps(row)
    assert row["assessment"]["reason"] == row["reason"]
    assert stow(client, content).status_code == 200  # again: no second one
    assert [item["uid"] for item in client.get("/api/instances?most=500").json()].count(uid) == 1


def test_stow_says_of_each_part_what_became_of_it(client):
    uid, first = file_of(seed=2)
    _, other = file_of(uid, seed=3)
    assert stow(client, first).status_code == 200
    answer = stow(client, other, b"nonsense", file_of()[1])
    assert answer.status_code == 202
    failed = answer.json()["00081198"]["Value"]
    assert [row["00081197"]["Value"][0] for row in failed] == [0x0111, 0xC000]
    assert failed[0]["00081155"]["Value"] == [uid]
    assert stow(client, other).status_code == 409


def test_no_room_is_another_answer(client, node, monkeypatch):
    monkeypatch.setattr(node.spool, "keep_free", 10**15)
    answer = stow(client, file_of()[1])
    assert answer.status_code == 503
    assert answer.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xA700]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "text/plain"),
        (b"x", "multipart/related"),
        (b"x", "multipart/related; boundary=a"),
        (b"--a\r\nno end", "multipart/related; boundary=a"),
        (b"--a--", "multipart/related; boundary=a"),
    ],
)
def test_what_is_no_multipart_body_is_refused(client, body, kind):
    answer = client.post("/dicom-web/studies", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400


def test_too_much_is_refused_before_it_is_read(node):
    small = node.settings.model_copy(update={"api": node.settings.api.model_copy(update={"upload_mb": 1})})
    node_settings, node.settings = node.settings, small
    try:
        client = TestClient(make_app(node), base_url="http://localhost")
        assert stow(client, bytes(2**20)).status_code == 413
        chunks = client.post("/dicom-web/studies", content=iter([b"x"]), headers={"Content-Type": "a/b"})
        assert chunks.status_code == 411
    finally:
        node.settings = node_settings


def test_an_upload_from_a_form(client):
    uid, content = file_of(seed=5)
    files = [("files", ("../../a b\n.dcm", content)), ("files", ("x", b"<html>"))]
    rows = client.post("/api/upload", files=files).json()
    assert rows == [
        {"uid": uid, "taken": True, "code": ""},
        {"uid": "", "taken": False, "code": "unreadable"},
    ]


def test_other_names_and_other_sites_are_turned_away(client):
    assert client.get("/health", headers={"Host": "evil.example"}).status_code == 421
    uid, content = file_of()
    foreign = {"Origin": "https://evil.example"}
    assert stow(client, content, **foreign).status_code == 403
    assert client.post("/api/upload", files=[("files", ("a", content))], headers=foreign).status_code == 403
    assert client.get(f"/api/instances/{uid}").status_code == 404
    assert client.get("/health", headers={"Origin": "http://localhost"}).status_code == 200


def test_each_answer_has_the_headers_that_browsers_need(client):
    for path in ("/health", "/api/instances", "/api/instances/1.2.3", "/nowhere"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"


def test_with_a_token_nothing_but_health_is_open(node, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    api = node.settings.api.model_copy(update={"token_file": tmp_path / "token"})
    before, node.settings = node.settings, node.settings.model_copy(update={"api": api})
    try:
        client = TestClient(make_app(node), base_url="http://localhost")
    finally:
        node.settings = before
    assert client.get("/health").status_code == 200
    paths = ["/metrics", "/api/instances", "/api/jobs", "/api/jobs/counts", "/api/events?follow=false"]
    for path in [*paths, "/api/switches/assessing"]:
        assert client.get(path).status_code == 401, path
        assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    for path in ("/dicom-web/studies", "/api/upload", "/api/jobs/retry", "/api/jobs/drop"):
        assert client.post(path).status_code == 401, path
    assert client.put("/api/switches/assessing/off").status_code == 401


def test_metrics_count(client):
    def value(name: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    before = value('xiqa_received_total{repeated="false"}'), value('xiqa_refused_total{code="unreadable"}')
    stow(client, file_of()[1], b"nonsense")
    assert value('xiqa_received_total{repeated="false"}') == before[0] + 1
    assert value('xiqa_refused_total{code="unreadable"}') == before[1] + 1
    assert value("xiqa_database_up") == 1
    assert value("xiqa_free_bytes") > 0


def test_the_queue_can_be_seen_and_changed(client, node):
    node.store.switch("assessing", "off")
    try:
        uid, content = file_of()
        stow(client, content)
        (job,) = until(lambda: [r for r in client.get("/api/jobs?state=waiting").json() if r["uid"] == uid])
        assert client.post("/api/jobs/drop", json={"ids": [job["id"]]}).json() == {"changed": 1}
        assert uid in [row["uid"] for row in client.get("/api/jobs?state=dropped").json()]
        assert {"kind": "assess", "state": "dropped", "count": 1} in client.get("/api/jobs/counts").json()
        assert client.post("/api/jobs/retry", json={"ids": [job["id"]]}).json() == {"changed": 1}
    finally:
        assert client.put("/api/switches/assessing/on").json() == {"assessing": "on"}
    until(lambda: all_done(node, [uid]))
    assert client.post("/api/jobs/drop", json={"ids": [job["id"]]}).json() == {"changed": 0}


def blocks(text: str) -> list[dict]:
    found = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append({"id": int(lines["id"]), "event": lines["event"], **json.loads(lines["data"])})
    return found


def test_events_that_have_been(client, node):
    start = node.store.last_event()
    uid, content = file_of()
    stow(client, content)
    until(lambda: all_done(node, [uid]))
    rows = blocks(client.get(f"/api/events?follow=false&after={start}").text)
    assert [row["event"] for row in rows] == ["received", "assessed"]
    assert {row["uid"] for row in rows} == {uid}
    assert rows[1]["verdict"] in ("accept", "reacquire")
    rest = client.get("/api/events?follow=false", headers={"Last-Event-ID": str(rows[0]["id"])}).text
    assert blocks(rest) == rows[1:]


@pytest.fixture(scope="module")
def port(node):
    server = WebServer(make_app(node), node.settings.api)
    server.start()
    yield server.port
    server.stop()


def test_events_as_they_happen(node, port):
    seen, uids = [], [f"2.25.{n}" for n in range(3)]

    def listen():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/events", timeout=20) as stream:
            for line in stream:
                if line.startswith(b"data: "):
                    seen.append(json.loads(line[6:]))
                if len(seen) == 6:
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    time.sleep(0.5)
    for uid in uids:
        node.take_in(file_of(uid)[1], "TEST")
    thread.join(20)
    assert not thread.is_alive()
    assert {row["uid"] for row in seen} == set(uids)


def test_another_node_can_send_by_stow(port, tmp_path):
    uid, content = file_of(seed=8)
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    archive = WebArchive(f"http://127.0.0.1:{port}/dicom-web", seconds=5)
    file = File(str(path), "1.2.840.10008.5.1.4.1.1.1", uid, "1.2.840.10008.1.2.1")
    assert archive.send([file])[0].status == 0
    path.write_bytes(file_of(uid, seed=9)[1])
    answer = archive.send([file])[0]
    assert (answer.status, answer.taken) == (0x0111, False)
    assert WebArchive("http://127.0.0.1:1/x", seconds=1).send([file])[0].status is None


def test_slow_and_half_requests_hold_nobody_up(port):
    half = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    for client in half:
        client.sendall(
            b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n\r\nab"
        )
    begun = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        assert answer.status == 200
    assert time.monotonic() - begun < 2
    for client in half:
        client.close()


def test_parts_are_what_stood_between_the_marks():
    content = b"--a b\r\nX: y\r\n\r\n\r\n--a  binary\0\r\n--a b\r\n\r\nsecond\r\n--a b--\r\n"
    assert parts_of(content, 'multipart/related; boundary="a b"') == [b"\r\n--a  binary\0", b"second"]
    with pytest.raises(NetworkError):
        parts_of(content, "multipart/related; boundary=zz")


@pytest.mark.long
def test_every_documented_request_is_answered_as_documented(node):
    """Requests made from the schema, right and wrong ones (schemathesis)."""
    app = make_app(node)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "localhost"})
    checks = [not_a_server_error, content_type_conformance, response_schema_conformance]
    answered: dict[tuple[str, int], int] = {}

    for operation in (result.ok() for result in schema.get_all_operations()):

        @given(operation.as_strategy())
        @hypothesis_settings(max_examples=40, suppress_health_check=list(HealthCheck))
        def ask(case):
            case.headers = {**(case.headers or {}), "Host": "localhost"}
            if case.path == "/api/events":
                case.query = {**(case.query or {}), "follow": "false"}
            answer = case.call()
            key = case.path, answer.status_code
            answered[key] = answered.get(key, 0) + 1
            case.validate_response(answer, checks=checks)

        ask()
    node.store.switch("assessing", "on")
    assert {path for path, status in answered if status == 200} >= {"/health", "/api/jobs", "/api/events"}
    assert any(status == 422 for _, status in answered)
