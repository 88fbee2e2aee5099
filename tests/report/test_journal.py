import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from xiqa.errors import Code, OutputError
from xiqa.files import FileIdentity, write_atomic, writing
from xiqa.report.files import folder_lock
from xiqa.report.journal import Entry, Journal
from xiqa.report.rows import counts, worst_first
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
    assert list(again) == list(journal)


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
    assert len(again) == 3
    for frame, settings in wanted:
        result = again.find(image, frame, settings).result
        assert (result.source.frame, result.provenance["method"]) == (frame, settings["method"])


def test_the_latest_line_of_a_slot_counts(tmp_path, image):
    journal = Journal(tmp_path / "results.jsonl")
    journal.add(entry(image))
    journal.add(entry(image, SETTINGS | {"fragility": True}))
    (only,) = Journal(tmp_path / "results.jsonl")
    assert only.result.provenance["fragility"]


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_line_cut_short_by_a_kill_is_dropped_and_the_rest_stays(tmp_path, image, cut):
    path = tmp_path / "results.jsonl"
    journal = Journal(path)
    journal.add(entry(image))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-cut])
    journal = Journal(path)
    assert len(journal) == 1
    assert path.read_bytes() == whole
    journal.add(entry(image, FEM))
    assert len(Journal(path)) == 2


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
    monkeypatch.setattr("xiqa.report.journal.SECONDS", 0.0)
    with pytest.raises(OutputError, match=r"No space left.*free some space"):
        journal.add(entry(image, FEM))
    assert path.read_bytes() == before
    assert len(journal) == 1


def test_lines_come_to_the_disk_in_groups_and_are_told_of_only_then(tmp_path, image, monkeypatch):
    path, on_disk, told = tmp_path / "results.jsonl", [0], []
    sync = os.fsync

    def noting(handle):
        sync(handle)
        on_disk.append(path.read_bytes().count(b"\n"))

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr("xiqa.report.journal.SECONDS", 1e9)
    monkeypatch.setattr("xiqa.report.journal.GROUP", 10)
    journal = Journal(path, lambda lines: told.append((lines, on_disk[-1])))
    for frame in range(25):
        journal.add(entry(image, frame=frame))
        assert path.read_bytes().count(b"\n") == frame + 1  # written at once: it outlives the process
        assert sum(lines for lines, _ in told) <= on_disk[-1]
    assert len(told) < 4
    journal.close()
    assert told[-1][1] == sum(lines for lines, _ in told) == 25


def test_what_the_disk_did_not_take_is_not_known(tmp_path, image, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    told = []
    journal = Journal(tmp_path / "results.jsonl", told.append)
    journal.add(entry(image))
    monkeypatch.setattr("xiqa.report.journal.SECONDS", 1e9)
    for frame in (1, 2):
        journal.add(entry(image, frame=frame))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        journal.commit()
    assert told == [1]
    assert [each.result.source.frame for each in journal] == [0]
    assert list(Journal(tmp_path / "results.jsonl")) == list(journal)


def test_entries_come_worst_first_as_a_list_of_them_would(tmp_path):
    journal, rng = Journal(tmp_path / "results.jsonl"), random.Random(5)
    for number in range(60):
        verdict = rng.choice(list(Verdict))
        probability = None if verdict == "not_assessed" else rng.choice([0.1, 0.5, 0.9])
        first = rng.choice("ab\udcffé")
        made = entry(f"/images/{first}{number}.png", frame=rng.randrange(3))
        journal.add(replace(made, result=replace(made.result, verdict=verdict, probability=probability)))
    results = [each.result for each in journal]
    assert results == worst_first(results)
    assert journal.index.counts() == counts(results)


def test_a_line_of_another_version_is_told_when_it_is_read(tmp_path, image):
    path = tmp_path / "results.jsonl"
    Journal(path).add(entry(image))
    path.write_bytes(path.read_bytes().replace(b'"reason"', b'"why"'))
    with pytest.raises(OutputError, match="another version"):
        list(Journal(path))


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
    (row,) = Journal(tmp_path / "results.jsonl")
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
