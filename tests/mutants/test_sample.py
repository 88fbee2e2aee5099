"""A few changes of the whole source, the same each time: the tests notice nearly all of them."""

import json
import subprocess
import sys

import pytest

from tests.mutants.reach import ROOT

LEAST = 0.85
SEED = 20
COUNT = 24


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_tests_notice_single_changes(tmp_path):
    told = tmp_path / "told.json"
    words = f"-m tests.mutants --together --noted -n {COUNT} --seed {SEED} --json {told}".split()
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    noticed = [item["verdict"] in ("killed", "does not end") for item in json.loads(told.read_text())]
    assert len(noticed) >= COUNT * 0.8
    assert sum(noticed) >= LEAST * len(noticed), done.stdout
