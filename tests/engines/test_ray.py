"""Who gets which block when workers are lost, on an engine without processes."""

from types import SimpleNamespace

import pytest

from xiqa.engines.ray import _Crew
from xiqa.engines.sources import Item
from xiqa.engines.store import Store
from xiqa.engines.work import Done
from xiqa.errors import OutputError, XiqaError


class Lost(Exception):
    """A process is gone."""


class Failed(Exception):
    """A call raised."""

    cause: Exception | None = None


class Engine:
    """Ray's calls: work is done when it is asked for, the oldest first."""

    exceptions = SimpleNamespace(RayError=(Lost, Failed), RayActorError=Lost, RayTaskError=Failed)

    def __init__(self, work, loads=lambda: None):
        self.work, self.loads, self.hired = work, loads, 0

    def remote(self, kind):
        return SimpleNamespace(options=lambda **more: SimpleNamespace(remote=self.actor))

    def actor(self, asked):
        self.hired += 1
        actor = SimpleNamespace(dead=False)
        actor.do = SimpleNamespace(remote=lambda block: Call(actor, lambda: self.work(block)))
        actor.__ray_ready__ = SimpleNamespace(remote=lambda: Call(actor, self.loads))
        return actor

    def wait(self, calls):
        return calls[:1], calls[1:]

    def get(self, call):
        if call.actor.dead:
            raise Lost("the actor died")
        try:
            return call.job()
        except Lost:
            call.actor.dead = True
            raise


class Call:
    def __init__(self, actor, job):
        self.actor, self.job = actor, job


ITEMS = [Item(f"{number}.png", 1, "1") for number in range(10)]


def run(engine, folder, workers=2):
    told, store = [], Store(folder, {"model_hash": "1", "method": "gradcam"})
    crew = _Crew(engine, SimpleNamespace(device="cpu", threads=1), store, told.append)
    for _ in range(workers):
        crew.hire()
    crew.run(iter([tuple(ITEMS[start : start + 3]) for start in range(0, 10, 3)]))
    return told, store


def test_a_file_that_no_worker_outlives_is_a_row_and_all_others_are_done_once(tmp_path):
    done = []

    def work(block):
        if ITEMS[4] in block:
            raise Lost("killed")
        done.extend(block)
        return Done(len(block), 0, 0.0)

    engine = Engine(work)
    told, store = run(engine, tmp_path)
    assert sorted(done) == [item for item in ITEMS if item is not ITEMS[4]]
    assert sum(block.files for block in told) == 10
    ((uri, row),) = store.rows()
    assert (uri, row.verdict) == ("4.png", "not_assessed")
    assert "no worker could assess it" in row.reason
    assert engine.hired == 2 + 6  # three tries of the block, three of the file


def test_a_worker_that_is_lost_once_is_replaced_and_its_block_is_done_again(tmp_path):
    tries = []

    def work(block):
        tries.append(block)
        if len(tries) == 2:
            raise Lost("killed")
        return Done(len(block), 0, 0.0)

    told, store = run(Engine(work), tmp_path)
    assert len(tries) == 5
    assert sum(block.files for block in told) == 10
    assert list(store.rows()) == []


def test_what_keeps_the_model_from_loading_is_told(tmp_path):
    def loads():
        raise Failed("BundleError: no such model")

    with pytest.raises(XiqaError, match="no such model"):
        run(Engine(None, loads), tmp_path)


def test_a_full_disk_ends_the_run_and_is_no_fault_of_a_file(tmp_path):
    def work(block):
        error = Failed("full")
        error.cause = OutputError("cannot write")
        raise error

    with pytest.raises(OutputError, match="cannot write"):
        run(Engine(work), tmp_path)
