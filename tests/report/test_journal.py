import os
import subprocess
import sys
from pathlib import Path

import pytest

from xiqa.errors import Code, OutputError
from xiqa.files import FileIdentity, write_atomic, writing
from xiqa.report.files import folder_lock
from xiqa.report.journal import Entry, Journal
from xiqa.types import Assessment, Source, Verdict

SETTINGS = {"model_hash": "0123", "method": "gradcam", "fragility": None, "xiqa": "0.1.0"}
FEM = SETTINGS | {"method": "fem"}


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(b"pixels")
    return str(path)


def entry(file, settings=SETTINGS, frame=0):
    identity = FileIdentity.of(file) or FileIdentity(0, 0, -1, -1)
    source = Source(
        path=file,
        digest="d1",
        frame=frame,
        frames=9,
        size=identity.size,
        modified=identity.modified,
    )
    result = Assessment(
        file,
        Verdict.ACCEPT,
        "good",
        Code.GOOD,
        0.25,
        0.5,
        provenance=settings,
        image_size=(4, 5),
        source=source,
    )
    return Entry(file, result, "image")


def test_what_is_written_is_found_and_read_again(tmp_path, image):
    journal = Journal(tmp_path / "results.jsonl")
    assert journal.find(image, 0, SETTINGS) is None
    journal.add(entry(image))
    again = Journal(tmp_path / "results.jsonl")
    assert again.find(image, 0, SETTINGS) == entry(image)
    assert again.entries == journal.entries


@pytest.mark.parametrize(
    "change", [{"method": "fem"}, {"model_hash": "4567"}, {"fragility": True}, {"xiqa": "0.2.0"}]
)
def test_another_model_method_setting_or_version_is_not_found(tmp_path, image, change):
    journal = Journal(tmp_path / "results.jsonl")
    journal.add(entry(image))
    assert journal.find(image, 0, SETTINGS | change) is None


def test_a_file_that_was_changed_is_not_found(tmp_path, image):
    journal = Journal(tmp_path / "results.jsonl")
    journal.add(entry(image))
    os.utime(image, ns=(1, 1))
    assert journal.find(image, 0, SETTINGS) is None


def test_two_frames_and_two_methods_stand_side_by_side(tmp_path, image):
    journal = Journal(tmp_path / "results.jsonl")
    wanted = [(0, SETTINGS), (1, SETTINGS), (0, FEM)]
    for frame, settings in wanted:
        journal.add(entry(image, settings, frame))
    again = Journal(tmp_path / "results.jsonl")
    assert len(again.entries) == 3
    for frame, settings in wanted:
        result = again.find(image, frame, settings).result
        assert (result.source.frame, result.provenance["method"]) == (frame, settings["method"])


def test_the_latest_line_of_a_slot_counts(tmp_path, image):
    journal = Journal(tmp_path / "results.jsonl")
    journal.add(entry(image))
    journal.add(entry(image, SETTINGS | {"fragility": True}))
    (only,) = Journal(tmp_path / "results.jsonl").entries.values()
    assert only.result.provenance["fragility"]


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_line_cut_short_by_a_kill_is_dropped_and_the_rest_stays(tmp_path, image, cut):
    path = tmp_path / "results.jsonl"
    journal = Journal(path)
    journal.add(entry(image))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-cut])
    journal = Journal(path)
    assert len(journal.entries) == 1
    assert path.read_bytes() == whole
    journal.add(entry(image, FEM))
    assert len(Journal(path).entries) == 2


def test_a_foreign_file_in_place_of_the_journal_is_told(tmp_path):
    (tmp_path / "results.jsonl").write_text("hello\n")
    with pytest.raises(OutputError, match=r"damaged in line 1"):
        Journal(tmp_path / "results.jsonl")


def test_a_full_disk_leaves_the_journal_whole(tmp_path, image, monkeypatch):
    path = tmp_path / "results.jsonl"
    journal = Journal(path)
    journal.add(entry(image))
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"No space left.*free some space"):
        journal.add(entry(image, FEM))
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
    (row,) = Journal(tmp_path / "results.jsonl").entries.values()
    assert row.path == row.result.file == name


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
