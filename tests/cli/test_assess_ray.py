"""A run on Ray leaves the rows of a local one, also where a driver or a machine is lost on the way."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.cli.test_assess import xiqa

from xiqa.assessment import assess
from xiqa.assessment.loading import load_runtime
from xiqa.engines.ray import assess_on_ray
from xiqa.engines.sources import items_of
from xiqa.engines.store import Store
from xiqa.engines.work import Asked
from xiqa.errors import ConfigError

pytestmark = pytest.mark.long


@pytest.fixture
def many(images):
    """Twenty-four images under different names, and one that is none."""
    content = [path.read_bytes() for path in sorted(images.iterdir())]
    for number in range(21):
        # a PNG may be followed by anything: every file has a content of its own
        (images / f"d{number:02}.png").write_bytes(content[number % 3] + bytes([number]))
    (images / "bad.png").write_bytes(b"no PNG")
    return images


def work(bundle, out, **more):
    runtime = load_runtime(bundle)
    settings = {"model_hash": runtime.card.hash, "method": runtime.card.method, "xiqa": "0.1.0"}
    told = {"model": str(bundle), "engine": "torch", "device": "cpu", "threads": 1, "method": None}
    told |= {"batch_size": 1, "frames": "all", "tolerance": 0.0, "identifiers": False}
    return Asked(**(told | more), settings=settings, out=str(out))


def local_rows(bundle, folder):
    """The rows of a run in this process, by the files' addresses."""
    paths = [item.uri for item in items_of([str(folder)], refused=[], skipped={})]
    found = assess(load_runtime(bundle, "torch", threads=1), paths, batch_size=1, keep_maps=False)
    return {row.file: row.disclosed() for row in found}


def same(bundle, folder, out):
    """Every file has one row, which is the local one."""
    asked = work(bundle, out)
    store, local = Store(out, asked.settings), local_rows(bundle, folder)
    rows = list(store.rows())
    assert len(rows) == len(local)
    assert dict(rows) == local
    return store


def test_rows_are_those_of_a_local_run_and_the_second_time_nothing_is_done(
    monkeypatch, capsys, bundle, many, tmp_path
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "out"
    command = ["assess", many, "--model", bundle, "--runtime", "torch", "--out", out, "--batch-size", 1]
    command += ["--engine", "ray", "--workers", 2]
    assert xiqa(monkeypatch, *command) == 1  # one could not be read
    assert "25 rows: 24 re-acquire, 1 not assessed" in capsys.readouterr().out
    store = same(bundle, many, out)
    assert {row.provenance["threads"] for _, row in store.rows()} == {1}
    table = list(csv.DictReader((out / "results.csv").open()))
    assert len(table) == 25
    before = store.files()
    (many / "bad.png").unlink()
    assert xiqa(monkeypatch, *command) == 1  # the row of the bad file stays
    assert store.files() == before


def test_what_the_engine_does_not_do_is_refused(monkeypatch, capsys, bundle, many, tmp_path):
    command = ["assess", many, "--model", bundle, "--out", tmp_path / "out"]
    assert xiqa(monkeypatch, *command, "--engine", "ray", "--fragility") == 2
    assert "rows alone" in capsys.readouterr().err
    assert xiqa(monkeypatch, *command, "--engine", "dask") == 2
    assert xiqa(monkeypatch, *command, "--workers", 2) == 2
    asked = work(bundle, tmp_path / "out")
    with pytest.raises(ConfigError, match="no Ray cluster"):
        assess_on_ray([], asked, address="127.0.0.1:9")


def test_a_driver_that_is_killed_loses_nothing_and_doubles_nothing(bundle, many, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "xiqa", "assess", str(many), "--model", str(bundle), "--out", str(out)]
    command += ["--runtime", "torch", "--engine", "ray", "--workers", "1", "--batch-size", "1"]
    code = (
        "import sys, xiqa.engines.ray as engine; engine.assess_on_ray.__kwdefaults__['block'] = 2;"
        "from xiqa.cli import main; sys.argv = sys.argv[1:]; main()"
    )
    driver = subprocess.Popen([sys.executable, "-c", code, *command[2:]], stdout=subprocess.DEVNULL)
    rows, ends = out / "rows", time.monotonic() + 120
    while len(list(rows.glob("[!.]*.parquet")) if rows.is_dir() else ()) < 2:
        assert driver.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    asked = work(bundle, out)
    before = len(Store(out, asked.settings).done())
    assert 0 < before < 24
    done = []
    fresh = Store(out, asked.settings).fresh(items_of([str(many)], refused=[], skipped={}))
    assess_on_ray(fresh, asked, workers=1, block=2, on_done=done.append)
    assert sum(block.files for block in done) <= 25 - before
    same(bundle, many, out)


def test_a_machine_that_is_lost_loses_nothing_and_doubles_nothing(bundle, many, tmp_path):
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80_000_000})
    node = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    done = []

    def lose(block):
        done.append(block)
        if len(done) == 3:
            cluster.remove_node(node, allow_graceful=False)

    asked = work(bundle, tmp_path / "out")
    items = items_of([str(many)], refused=[], skipped={})
    try:
        assess_on_ray(items, asked, address=cluster.address, workers=2, block=2, on_done=lose)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert sum(block.files for block in done) == 25
    same(bundle, many, tmp_path / "out")
