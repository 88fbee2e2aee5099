"""Each bad input ends in one typed error, or is read all the same, in bounded time and memory."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.imaging.bad_inputs import BAD_INPUTS


@pytest.fixture(scope="module")
def measured():
    """All bad inputs read in one process of their own, with times and peaks of memory."""
    command = [sys.executable, "-m", "benchmarks.bad_inputs", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return {row["key"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("case", BAD_INPUTS, ids=lambda case: case.key)
def test_bad_input(measured, case):
    row = measured[case.key]
    assert row["code"] == case.code, row["message"]
    assert row["seconds"] < 10
    assert row["megabytes"] < 512
    if row["code"] != "read":
        assert len(row["message"]) > 5
