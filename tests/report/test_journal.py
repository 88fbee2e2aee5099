import os
import subprocess
import sys
from pathlib import Path

import pytest

from xiqa.errors import OutputError
from xiqa.files import write_atomic, writing
from xiqa.report.files import folder_lock
from xiqa.report.journal import Entry, Journal, identity

SETTINGS = {"model": "0123", "method": "gradcam"}


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.png"
    path.write_bytes(b"pixels")
    return str(path)


def entry(file, settings=SETTINGS):
    return Entry(identity(file, settings), {"file": file, "verdict": "accept"}, "film", (4, 5))


def test_what_is_written_is_held_and_read_again(tmp_path, film):
    journal = Journal(tmp_path / "results.jsonl")
    assert not journal.holds(identity(film, SETTINGS))
    journal.add(entry(film))
    again = Journal(tmp_path / "results.jsonl")
    assert again.holds(identity(film, SETTINGS))
    assert again.entries == journal.entries


def test_a_changed_file_model_or_method_is_not_held(tmp_path, film):
    journal = Journal(tmp_path / "results.jsonl")
    journal.add(entry(film))
    assert not journal.holds(identity(film, SETTINGS | {"method": "fem"}))
    assert not journal.holds(identity(film, SETTINGS | {"model": "4567"}))
    os.utime(film, ns=(1, 1))
    assert not journal.holds(identity(film, SETTINGS))


def test_the_latest_line_of_a_file_counts(tmp_path, film):
    journal = Journal(tmp_path / "results.jsonl")
    journal.add(entry(film))
    journal.add(entry(film, SETTINGS | {"method": "fem"}))
    (only,) = Journal(tmp_path / "results.jsonl").entries.values()
    assert only.identity["method"] == "fem"


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_line_cut_short_by_a_kill_is_dropped_and_the_rest_stays(tmp_path, film, cut):
    path = tmp_path / "results.jsonl"
    journal = Journal(path)
    journal.add(entry(film))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-cut])
    journal = Journal(path)
    assert len(journal.entries) == 1
    assert path.read_bytes() == whole
    journal.add(entry(film, SETTINGS | {"method": "fem"}))
    assert len(Journal(path).entries) == 1


def test_a_foreign_file_in_place_of_the_journal_is_told(tmp_path):
    (tmp_path / "results.jsonl").write_text("hello\n")
    with pytest.raises(OutputError, match=r"damaged in line 1"):
        Journal(tmp_path / "results.jsonl")


def test_a_full_disk_leaves_the_journal_whole(tmp_path, film, monkeypatch):
    path = tmp_path / "results.jsonl"
    journal = Journal(path)
    journal.add(entry(film))
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"No space left.*free some space"):
        journal.add(entry(film, SETTINGS | {"method": "fem"}))
    assert path.read_bytes() == before


def test_a_full_device_is_one_clear_error():
    device = Path("/dev/full")
    if not device.exists():
        pytest.skip("no device that is always full")
    with pytest.raises(OutputError, match="No space left"), writing(device):
        device.write_bytes(b"x")


def test_a_name_outside_unicode_is_an_identity(tmp_path):
    name = os.fsdecode(bytes(tmp_path) + b"/\xff.png")
    journal = Journal(tmp_path / "results.jsonl")
    journal.add(entry(name))
    assert Journal(tmp_path / "results.jsonl").holds(identity(name, SETTINGS))


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_atomic(path, b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_runs_cannot_hold_one_folder(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom xiqa.report.files import folder_lock\n"
        f"with folder_lock(Path({str(tmp_path)!r})):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n"
    with pytest.raises(OutputError, match="in use"), folder_lock(tmp_path):
        pass
    other.kill()
    other.wait()
    with folder_lock(tmp_path):  # the lock of a killed run is gone
        pass
    other.stdin.close()
    other.stdout.close()
