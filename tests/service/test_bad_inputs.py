"""Every bad file that is pushed ends in a refusal or a verdict; the rest goes on, and is forwarded."""

import time
from pathlib import Path

import pytest

from tests.dicom.net.objects import instance
from tests.imaging.bad_inputs import BAD_INPUTS
from tests.service.nodes import all_done, running, settings, until
from xiqa.dicom.net.instance import part10, split_part10
from xiqa.errors import NetworkError

MEGABYTE = 2**20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.long
def test_bad_files_end_in_a_refusal_or_a_verdict(tmp_path):
    wanted = settings(
        tmp_path,
        models={"stub": {"call": "tests.service.models:readable"}},
        rules=[{"name": "all", "model": "stub"}],
        assessing={"seconds": 20},
    )
    refused, taken, most = {}, {}, 0
    with running(wanted) as node:
        for case in BAD_INPUTS:
            (tmp_path / case.key).mkdir()
            path = case.build(tmp_path / case.key / "bad.dcm")
            if not path.is_file() or path.stat().st_size > 300 * MEGABYTE:
                continue
            content, before, begun = path.read_bytes(), resident(), time.monotonic()
            try:
                node.take_in(content, "BAD")
            except NetworkError as error:
                refused[case.key] = error.code
            else:
                taken[case.key] = split_part10(content).uid
            assert time.monotonic() - begun < 10, case.key
            most = max(most, resident() - before - 2 * len(content))
        good = instance(seed=1)
        node.take_in(part10(good) + good.content, "GOOD")
        uids = [*taken.values(), good.uid]
        until(lambda: all_done(node, uids), 200)
        verdicts = {key: node.store.find(uid) for key, uid in taken.items()}
        assert node.store.find(good.uid)["verdict"] == "accept"
        assert node.store.queue.listed(["dead"]) == []
    assert most < 200 * MEGABYTE
    assert set(refused.values()) <= {"unreadable", "mismatch", "bad_uid", "conflict"}
    assert len(refused) > 5
    assert len(taken) > 5
    expected = {case.key: case.code for case in BAD_INPUTS}
    for key, row in verdicts.items():
        assert (row["verdict"] == "accept") == (expected[key] == "read"), (key, row["reason"])
        assert row["reason"]
        assert str(tmp_path) not in row["reason"]
