"""The commands that belong to the page, as a person uses them."""

import subprocess
import sys
import urllib.request

import pytest

from tests.dicom.net.objects import radiograph
from tests.dicom.net.servers import send
from tests.service.page.visits import PASSWORD
from tests.service.processes import configuration, serving, wait_until
from xiqa.datasets.folder import read_csv
from xiqa.service.node import open_store
from xiqa.service.records.decisions import Choice, Decisions
from xiqa.service.records.people import People
from xiqa.service.settings import Settings, read_settings

pytestmark = pytest.mark.long


def xiqa(*words: object, say: str = "") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "xiqa", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, input=say)


def user(config, *words: object, say: str = "") -> subprocess.CompletedProcess:
    return xiqa("serve", "user", *words, "--config", config, say=say)


def test_accounts_and_the_page_of_a_served_node(tmp_path):
    config = configuration(tmp_path)
    made = user(
        config,
        *("add", "ada", "--full-name", "Ada Lovelace", "--role", "technologist", "--password-stdin"),
        say=f"{PASSWORD}\n",
    )
    assert made.stdout == "ada is a technologist\n", made.stderr
    assert user(config, "list").stdout == "ada: Ada Lovelace, technologist\n"
    for words, say in ((("add", "bob", "--password-stdin"), "short\n"), (("role", "ada", "king"), "")):
        refused = user(config, *words, say=say)
        assert refused.returncode == 2
        assert "Traceback" not in refused.stderr
    with serving(config) as node:
        address = f"http://127.0.0.1:{node.http}"
        with urllib.request.urlopen(f"{address}/login", timeout=60) as answer:
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "Password" in answer.read().decode()
        ds = radiograph(seed=4)
        assert send(node.dicom, [ds]) == [0]
        store = open_store(read_settings(config))
        uid = str(ds.SOPInstanceUID)
        wait_until(lambda: (store.find(uid) or {"verdict": ""})["verdict"])
        people = People(store)
        who = people.person_of(people.login("ada", PASSWORD))
        Decisions(store, ["111209"], []).decide(Choice(uid, 0, "reacquire", "111209", "arm"), who)
    out = tmp_path / "decided"
    assert xiqa("serve", "export", out, "--config", config).stdout.startswith(f"1 images in {out}")
    assert (out / "images" / f"{uid}.dcm").stat().st_size > 1000
    assert read_csv(out / "images.csv").samples[0].tags == ("positioning",)
    assert user(config, "disable", "ada").returncode == 0
    assert people.login("ada", PASSWORD) is None
    assert user(config, "unlock", "ada").returncode == 0
    assert user(config, "password", "ada", "--password-stdin", say="quite another one\n").returncode == 0
    assert people.login("ada", "quite another one") is not None
    store.database.close()


def test_a_department_is_simulated_into_an_empty_database_alone(tmp_path):
    config = configuration(tmp_path)
    words = ("simulate", "department", "--config", config, "--days", 14, "--images", 20)
    done = xiqa(*words)
    assert done.stdout.endswith("images of 14 days\n"), done.stderr
    again = xiqa(*words)
    assert again.returncode == 2
    assert "images already" in again.stderr


@pytest.mark.parametrize(
    ("api", "served"),
    [
        ({}, True),
        ({"host": "::1"}, True),
        ({"host": "0.0.0.0", "token_file": "t"}, False),
        ({"host": "0.0.0.0", "token_file": "t", "tls": {"certificate": "c", "key": "k"}}, True),
    ],
)
def test_passwords_do_not_travel_in_the_clear(api, served):
    assert Settings.model_validate({"api": api}).has_page() is served
    assert Settings.model_validate({"api": api, "page": {"enabled": False}}).has_page() is False


def test_rejections_need_a_confirmed_original():
    peer = {"name": "pacs", "ae": "P", "host": "h", "port": 1, "rejections": True}
    with pytest.raises(ValueError, match="archives hide"):
        Settings.model_validate({"peers": [peer]})
    with pytest.raises(ValueError, match="archives hide"):
        Settings.model_validate({"peers": [peer | {"confirm": "find", "originals": False}]})
    assert Settings.model_validate({"peers": [peer | {"confirm": "get"}]}).rejections() == ("pacs",)
    with pytest.raises(ValueError, match="CID 7011"):
        Settings.model_validate({"page": {"reasons": ["1"]}})
