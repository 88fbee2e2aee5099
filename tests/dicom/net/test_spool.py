"""What was acknowledged is on the disk, once, and whole."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.dicom.net.objects import instance
from xiqa.dicom.net import durable
from xiqa.dicom.net.instance import read_part10
from xiqa.dicom.net.spool import Spool
from xiqa.errors import NetworkError


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


def code_of(call, *args) -> str:
    with pytest.raises(NetworkError) as caught:
        call(*args)
    return caught.value.code


def is_folder(descriptor: int) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").is_dir()


def unfinished(spool: Spool) -> list[Path]:
    return list((spool.root / "arriving").iterdir())


def test_the_same_bytes_come_back(spool):
    made = instance("1.2.3")
    stored = spool.store(made)
    assert stored.fresh
    assert read_part10(spool.root / stored.path) == made
    assert stored.sha256 == made.sha256
    assert stored.size == (spool.root / stored.path).stat().st_size
    assert list(spool.files()) == [spool.path_of("1.2.3")]
    assert unfinished(spool) == []


def test_the_order_is_write_sync_rename_sync_folder(spool, monkeypatch):
    steps = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(descriptor):
        steps.append("sync folder" if is_folder(descriptor) else "sync file")
        fsync(descriptor)

    def noted_rename(path, target):
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    spool.store(instance())
    assert steps == ["sync file", "rename", "sync folder"]


def test_the_same_content_again_is_no_second_object(spool):
    made = instance("1.2.3")
    first, second = spool.store(made), spool.store(made)
    assert (first.fresh, second.fresh) == (True, False)
    assert first.path == second.path


def test_another_content_is_refused_and_the_first_is_kept(spool):
    spool.store(instance("1.2.3", seed=1))
    before = spool.path_of("1.2.3").read_bytes()
    assert code_of(spool.store, instance("1.2.3", seed=2)) == "conflict"
    assert spool.path_of("1.2.3").read_bytes() == before


def test_what_is_known_of_a_removed_object_still_counts(spool):
    made = instance("1.2.3", seed=1)
    spool.store(made)
    spool.remove("1.2.3")
    assert not spool.store(made, known=made.sha256).fresh
    assert code_of(spool.store, instance("1.2.3", seed=2), made.sha256) == "conflict"
    assert list(spool.files()) == []


def test_one_of_many_that_come_at_once_wins(spool):
    results = []

    def store(seed):
        try:
            results.append(spool.store(instance("1.2.3", seed=seed)).fresh)
        except NetworkError as error:
            results.append(error.code)

    threads = [threading.Thread(target=store, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == ["True"] + ["conflict"] * 11


def test_below_the_watermark_nothing_is_written(tmp_path):
    state = os.statvfs(tmp_path)
    spool = Spool(tmp_path / "spool", keep_free=state.f_blocks * state.f_frsize * 2)
    assert not spool.has_room()
    assert code_of(spool.store, instance()) == "full"
    assert list(spool.files()) == unfinished(spool) == []
    spool.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("step", ["write", "sync"])
def test_a_disk_that_fails_leaves_nothing(spool, monkeypatch, number, step):
    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(durable.os, "fsync", fail)
    expected = "full" if number == errno.ENOSPC else "disk"
    assert code_of(spool.store, instance("1.2.3")) == expected
    monkeypatch.undo()
    assert list(spool.files()) == unfinished(spool) == []
    assert spool.store(instance("1.2.3")).fresh


def test_a_folder_that_could_not_be_synced_acknowledges_nothing_more(spool, monkeypatch):
    real = os.fsync

    def fail(descriptor):
        if is_folder(descriptor):
            raise OSError(errno.EIO, "broken")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    assert code_of(spool.store, instance("1.2.3")) == "disk"
    monkeypatch.undo()
    # the same folder: an fsync that succeeds now says nothing about the name of before
    folder = spool.path_of("1.2.3").parent
    other = next(f"1.9.{n}" for n in range(999) if spool.path_of(f"1.9.{n}").parent == folder)
    assert code_of(spool.store, instance(other)) == "disk"


def test_one_process_at_a_time(spool):
    code = (
        f"from pathlib import Path; from xiqa.dicom.net.spool import Spool; Spool(Path({str(spool.root)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "another process fills" in done.stderr


def test_unfinished_files_go_and_whole_ones_stay(tmp_path):
    first = Spool(tmp_path)
    made = instance("1.2.3")
    first.store(made)
    (tmp_path / "arriving" / "x.part").write_bytes(b"half")
    first.close()
    again = Spool(tmp_path)
    assert unfinished(again) == []
    assert read_part10(again.path_of("1.2.3")) == made
    again.close()


def test_callers_share_a_sync_that_begins_after_them(tmp_path, monkeypatch):
    began, count, gate = [], [], threading.Event()
    synced = durable.FolderSync(tmp_path)

    def slow(descriptor):
        began.append(time.monotonic())
        count.append(1)
        gate.wait(5)

    monkeypatch.setattr(durable.os, "fsync", slow)
    called, ended = {}, {}

    def call(name):
        called[name] = time.monotonic()
        synced()
        ended[name] = time.monotonic()

    threads = [threading.Thread(target=call, args=(n,)) for n in range(9)]
    threads[0].start()
    while not began:
        time.sleep(0.001)
    for thread in threads[1:]:
        thread.start()
    while len(called) < 9:
        time.sleep(0.001)
    time.sleep(0.05)
    gate.set()
    for thread in threads:
        thread.join()
    assert len(count) == 2  # the first alone, the other eight together
    for name in range(1, 9):
        assert began[1] > called[name]


WRITER = """
import sys
from pathlib import Path
from tests.dicom.net.objects import instance
from xiqa.dicom.net.spool import Spool
spool = Spool(Path(sys.argv[1]))
n = int(sys.argv[2])
while True:
    spool.store(instance(f"1.2.{n}", seed=n, rows=200, columns=300))
    print(n, flush=True)
    n += 1
"""


@pytest.mark.long
def test_killed_at_any_moment_what_was_acknowledged_is_there(tmp_path):
    rng = random.Random(7)
    acknowledged: list[int] = []
    for _ in range(25):
        start = acknowledged[-1] + 1 if acknowledged else 0
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(start)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        acknowledged.append(int(writer.stdout.readline()))
        time.sleep(rng.uniform(0, 0.15))
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout.read().splitlines()]
        writer.wait()
        spool = Spool(tmp_path)
        assert unfinished(spool) == []
        names = {int(path.stem.split(".")[-1]) for path in spool.files()}
        assert names >= set(acknowledged)
        assert len(names) <= len(set(acknowledged)) + 25
        for path in spool.files():
            number = int(path.stem.split(".")[-1])
            assert len(read_part10(path).content) > 200 * 300 * 2, number
        spool.close()
        acknowledged.append(max(names))
    assert len(set(acknowledged)) > 50
