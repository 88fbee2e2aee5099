"""The examples that are handed out are right."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.dicom.net.objects import radiograph
from tests.dicom.net.servers import send
from tests.service.nodes import all_done, running, settings, until
from tests.service.orthanc import orthanc
from xiqa.service.settings import read_settings

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_the_example_is_a_configuration():
    settings = read_settings(DEPLOY / "node.toml")
    assert settings.wanted() == [("forward", "pacs"), ("assess", "")]
    assert settings.kinds() == ("sr", "sc", "pr")
    assert settings.intake.senders[0].is_at("10.1.1.200")
    assert not settings.intake.senders[1].is_at("10.1.2.18")


def test_what_is_commented_out_is_right_too(tmp_path):
    text = (DEPLOY / "node.toml").read_text()
    lines = [
        line[2:] if line.startswith("# ") and ("=" in line or line.startswith("# [")) else line
        for line in text.splitlines()
    ]
    (tmp_path / "node.toml").write_text("\n".join(lines))
    settings = read_settings(tmp_path / "node.toml")
    assert settings.intake.tls is not None
    assert settings.hooks[0].name == "ris"
    assert settings.api.token_file == tmp_path / "api-token"
    assert settings.node.database.startswith("postgresql:")


@pytest.mark.parametrize("name", ["xiqa.service", "Containerfile"])
def test_units_name_the_command_that_exists(name):
    assert "serve" in (DEPLOY / name).read_text()
    assert "--config" in (DEPLOY / name).read_text()


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    """Under the names of this machine: the unit's own command and user are made when it is installed."""
    unit = (DEPLOY / "xiqa.service").read_text()
    unit = unit.replace("/opt/xiqa/bin/xiqa", sys.executable).replace("=xiqa\n", "=root\n")
    (tmp_path / "xiqa.service").write_text(unit)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "xiqa.service")]
    found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")
    (tmp_path / "xiqa.service").write_text(unit.replace("ProtectHome=yes", "ProtectHome=perhaps"))
    found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert "protect home" in found.stderr.lower()  # the check would see a fault


def test_the_container_file_passes_its_linter(tmp_path):
    command = [Path(sys.executable).with_name("hadolint"), "--failure-threshold", "style"]
    found = subprocess.run(
        [*command, str(DEPLOY / "Containerfile")], check=False, capture_output=True, text=True
    )
    assert (found.returncode, found.stdout) == (0, "")
    (tmp_path / "Containerfile").write_text("FROM python\nRUN cd /x && pip install y\n")
    found = subprocess.run(
        [*command, str(tmp_path / "Containerfile")], check=False, capture_output=True, text=True
    )
    assert "DL3006" in found.stdout  # the linter would see a fault


@pytest.mark.long
def test_orthanc_routes_by_the_example(tmp_path):
    """Radiographs go to the node once, other images do not, and its results do not come round again."""
    lua = {"LuaScripts": [str(DEPLOY / "orthanc-route.lua")]}
    with orthanc(tmp_path / "orthanc", **lua) as archive:
        pacs = {"name": "pacs", "ae": "ORTHANC", "host": "127.0.0.1", "port": archive.dicom}
        wanted = settings(tmp_path, peers=[{**pacs, "originals": False, "results": ["sc", "sr"]}])
        with running(wanted) as node:
            place = {"AET": "XIQA", "Host": "127.0.0.1", "Port": node.server.port}
            archive.put("/modalities/node", json.dumps(place).encode())
            images = [radiograph(seed=n) for n in range(3)]
            images[2].Modality = "MR"
            assert send(archive.dicom, images, called="ORTHANC") == [0, 0, 0]
            uids = [str(ds.SOPInstanceUID) for ds in images]
            until(lambda: all_done(node, uids[:2]))
            until(lambda: len(archive.uids()) == 3 + 2 * 2)
            time.sleep(1.0)  # long enough for a result to come round, if it did
            assert {row["uid"] for row in node.store.recent()} == set(uids[:2])
        assert len(archive.uids()) == 7
