"""A web address is told of each verdict, once it has said that it heard."""

import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.service.databases import free_port
from tests.service.rows import instance_row, job_rows
from tests.service.test_jobs import Hands
from xiqa.errors import ConfigError
from xiqa.service.records.store import Verdict
from xiqa.service.settings import Hook
from xiqa.service.work.hooks import Teller

pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@contextmanager
def listener(*answers: int):
    """An address that answers with one status after the other, then with 204; what it was told."""
    statuses, heard = list(answers), []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.path, dict(self.headers), body))
            self.send_response(statuses.pop(0) if statuses else 204)
            self.end_headers()

        def log_message(self, *args):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ear)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/quality", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hands(store):
    made = Hands(store.clock.now() + 1)
    store.clock = store.queue._clock = store.trail._clock = made
    store.add_instances([instance_row(7)], [("assess", "")])
    (job,) = store.queue.lease("assess", "w", 60)
    store.assessed(job, Verdict("reacquire", "brightness 0.977", 0.977, rule="all"), [("hook", "ris")])
    return made


def hook(url: str, **more) -> Hook:
    return Hook(name="ris", url=url, **more)


def state(store) -> tuple[str, str]:
    (row,) = job_rows(store, kind="hook")
    return row["state"], row["problem"]


def test_the_verdict_is_told_with_a_signature_and_without_a_person(store, hands, tmp_path):
    (tmp_path / "secret").write_bytes(b"open sesame\n")
    with listener() as (url, heard):
        teller = Teller(hook(url, secret_file=tmp_path / "secret"), store, "w")
        assert teller.step()
        assert not teller.step()
    ((path, headers, body),) = heard
    assert path == "/quality"
    assert json.loads(body) == {
        "uid": "1.2.7", "study_uid": "", "series_uid": "", "modality": "CR", "source": "CR1",
        "verdict": "reacquire", "reason": "brightness 0.977", "probability": 0.977, "rule": "all",
    }  # fmt: skip
    assert headers["X-Xiqa-Signature"] == hmac.new(b"open sesame", body, hashlib.sha256).hexdigest()
    assert headers["Idempotency-Key"] == "1.2.7"
    assert headers["Content-Type"] == "application/json"
    assert state(store) == ("done", "")


def test_who_does_not_answer_with_success_is_told_again_later(store, hands):
    with listener(503, 302) as (url, heard):
        teller = Teller(hook(url), store, "w")
        assert teller.step()
        assert state(store) == ("waiting", "answered 503")
        assert not teller.step()  # not before its time
        hands.time += 3
        assert teller.step()
        assert state(store) == ("waiting", "answered 302")
        hands.time += 6
        assert teller.step()
    assert state(store) == ("done", "")
    assert len({body for _, _, body in heard}) == 1
    assert len(heard) == 3


def test_an_address_where_nobody_is_waits_for_days_and_then_for_a_person(store, hands):
    teller = Teller(hook(f"http://127.0.0.1:{free_port()}/", give_up_hours=2, seconds=2), store, "w")
    assert teller.step()
    waiting, problem = state(store)
    assert waiting == "waiting"
    assert "refused" in problem
    hands.time += 7100
    assert teller.step()
    assert state(store)[0] == "waiting"
    hands.time += 1000
    assert teller.step()
    assert state(store)[0] == "dead"


def test_a_secret_that_cannot_be_read_is_said_at_the_start(store, tmp_path):
    with pytest.raises(ConfigError, match="secret"):
        Teller(hook("http://127.0.0.1/", secret_file=tmp_path / "absent"), store, "w")
