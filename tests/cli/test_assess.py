import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from xiqa.cli import main
from xiqa.report.files import folder_lock


def xiqa(monkeypatch, *arguments):
    """Exit status of the command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["xiqa", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code or 0


def results(out):
    return {row["file"]: row for row in json.loads((out / "results.json").read_text())}


def lines(out):
    return (out / "results.jsonl").read_text().splitlines()


def test_a_folder_is_assessed(monkeypatch, capsys, bundle, images, tmp_path):
    out = tmp_path / "out"
    assert xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", out) == 0
    told = capsys.readouterr().out
    assert "Re-acquire" in told
    assert "3 images: 3 re-acquire" in told
    rows = results(out)
    assert {Path(name).name for name in rows} == {"a.png", "b.png", "c.png"}
    row = rows[str(images / "b.png")]
    assert row["provenance"]["method"] == "gradcam"
    for finding in row["findings"]:
        x0, y0, x1, y1 = finding["box"]
        assert 0 <= x0 <= finding["peak"][0] <= x1 <= 59
        assert 0 <= y0 <= finding["peak"][1] <= y1 <= 89
    assert len(list((out / "overlays").iterdir())) == 3
    assert (out / "report.html").stat().st_size > 10_000


def test_a_second_run_does_only_what_is_new(monkeypatch, capsys, bundle, images, tmp_path):
    out = tmp_path / "out"
    xiqa(monkeypatch, "assess", images / "a.png", "--model", bundle, "--out", out)
    assert xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", out) == 0
    assert "1 of 3 images are done already" in capsys.readouterr().out
    assert len(lines(out)) == 3
    xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", out, "--method", "fem")
    assert len(lines(out)) == 6  # another method is another result
    xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", out, "--method", "fem", "--force")
    assert len(lines(out)) == 9
    rows = json.loads((out / "results.json").read_text())
    assert sorted(row["provenance"]["method"] for row in rows) == ["fem"] * 3 + ["gradcam"] * 3


def test_bad_files_are_listed_and_the_rest_goes_on(monkeypatch, capsys, bundle, images, tmp_path):
    out = tmp_path / "out"
    (images / "empty.png").touch()
    (images / "page.dcm").write_text("<!doctype html><script>alert(1)</script>")
    (images / "=1+1\n'\"<b>.png").write_bytes(b"\x89PNG\r\n")
    (images / os.fsdecode(b"\xff.png")).write_bytes((images / "a.png").read_bytes())
    assert xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", out) == 1
    rows = results(out)
    assert sorted(row["verdict"] for row in rows.values()) == ["not_assessed"] * 3 + ["reacquire"] * 4
    assert all(row["reason"] for row in rows.values())
    assert "<b>.png" not in (out / "report.html").read_text()
    told = capsys.readouterr().out
    assert "3 not assessed" in told
    assert "\\xff.png" in told


def test_what_could_not_be_read_is_tried_again(monkeypatch, bundle, images, tmp_path):
    out = tmp_path / "out"
    (images / "empty.png").touch()
    assert xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", out) == 1
    assert xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", out) == 1
    assert len(lines(out)) == 5


def test_the_reports_own_pictures_are_no_images(monkeypatch, capsys, bundle, images):
    monkeypatch.chdir(images)
    assert xiqa(monkeypatch, "assess", ".", "--model", bundle) == 0
    assert xiqa(monkeypatch, "assess", ".", "--model", bundle) == 0
    assert "3 of 3 images are done already" in capsys.readouterr().out


def test_a_path_that_is_not_there_is_listed_and_the_rest_goes_on(
    monkeypatch, capsys, bundle, images, tmp_path
):
    absent = images / "absent.png"
    code = xiqa(monkeypatch, "assess", images, absent, "--model", bundle, "--out", tmp_path / "out")
    told = capsys.readouterr().out
    assert code == 1
    assert "3 images" in told
    assert "Not assessed: no such file" in told


@pytest.mark.parametrize(("name", "told"), [("empty", "no image to assess"), ("absent.png", "no such file")])
def test_nothing_to_assess_is_one_clear_line(monkeypatch, capsys, bundle, tmp_path, name, told):
    (tmp_path / "empty").mkdir()
    assert xiqa(monkeypatch, "assess", tmp_path / name, "--model", bundle, "--out", tmp_path / "out") == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"--model": "no-such-model"}, "no bundle"),
        ({"--method": "gradcan"}, "gradcam"),
        ({"--out": "/dev/null/out"}, "cannot write"),
    ],
)
def test_a_mistake_is_one_clear_line(monkeypatch, capsys, bundle, images, tmp_path, changes, told):
    options = {"--model": bundle, "--out": tmp_path / "out"} | changes
    code = xiqa(monkeypatch, "assess", images, *(part for pair in options.items() for part in pair))
    error = capsys.readouterr().err
    assert code == 2
    assert told in error
    assert "Traceback" not in error


def test_two_runs_into_one_folder_is_one_clear_line(monkeypatch, capsys, bundle, images, tmp_path):
    (tmp_path / "out").mkdir()
    with folder_lock(tmp_path / "out"):
        assert xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", tmp_path / "out") == 2
    assert "in use" in capsys.readouterr().err


def test_a_full_disk_is_one_clear_line_and_what_is_done_stays(monkeypatch, capsys, bundle, images, tmp_path):
    out, sync, left = tmp_path / "out", os.fsync, [2]

    def filling(handle):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", filling)
    monkeypatch.setattr("xiqa.report.journal.SECONDS", 0.0)  # every line by itself
    code = xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", out, "--batch-size", 1)
    assert code == 2
    assert "No space left" in capsys.readouterr().err
    assert len(lines(out)) == 2
    monkeypatch.setattr(os, "fsync", sync)
    assert xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", out) == 0
    assert len(lines(out)) == 3


@pytest.mark.long
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_ended_goes_on_where_it_was(bundle, images, tmp_path, ending):
    out = tmp_path / "out"
    for number in range(40):
        (images / f"copy{number}.png").write_bytes((images / "a.png").read_bytes())
    command = [
        sys.executable,
        "-m",
        "xiqa",
        "assess",
        images,
        "--model",
        bundle,
        "--out",
        out,
        "--batch-size",
        "1",
    ]
    # A background job of a shell ignores Ctrl-C, and so would its children.
    first = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (one thread)
    )
    journal, limit = out / "results.jsonl", time.monotonic() + 120
    while not (journal.exists() and len(journal.read_text().splitlines()) >= 5):
        assert first.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.02)
    first.send_signal(ending)
    code = first.wait()
    done = lines(out)
    assert 5 <= len(done) < 43
    if ending == signal.SIGINT:
        assert code == 130
        assert len(results(out)) == len(done)  # the report of what was done is there
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"{len(done)} of 43 images are done already" in again.stdout
    assert lines(out)[: len(done)] == done
    assert len(lines(out)) == 43
    assert len(results(out)) == 43


def test_what_is_skipped_is_counted_and_what_cannot_be_read_fails(
    monkeypatch, capsys, bundle, images, tmp_path
):
    (images / "a.pdf").write_bytes(b"%PDF")
    (images / "b.zip").write_bytes(b"PK")
    command = ("assess", images, "--model", bundle, "--out", tmp_path / "out")
    assert xiqa(monkeypatch, *command) == 0
    assert "2 files skipped: 1 PDF, 1 ZIP" in capsys.readouterr().out
    (images / "gone.dcm").symlink_to("nowhere.dcm")
    os.mkfifo(images / "pipe.png")
    assert xiqa(monkeypatch, *command) == 1
    told = capsys.readouterr().out.replace("\n", "")
    assert "gone.dcm: is a link that leads nowhere" in told
    assert "pipe.png: is a pipe, a socket or a device" in told
    assert "3 images" in told


def test_an_unchanged_second_run_writes_nothing(monkeypatch, capsys, bundle, images, tmp_path):
    out = tmp_path / "out"

    def state():
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in out.rglob("*") if path.is_file()
        }

    arguments = ("assess", images, "--model", bundle, "--out", out)
    assert xiqa(monkeypatch, *arguments) == 0
    before = {path: at for path, at in state().items() if "lock" not in path.name}
    assert xiqa(monkeypatch, *arguments) == 0
    assert "3 of 3 images are done already" in capsys.readouterr().out
    assert {path: at for path, at in state().items() if "lock" not in path.name} == before
    (out / "results.csv").unlink()
    assert xiqa(monkeypatch, *arguments) == 0
    assert (out / "results.csv").is_file()
    os.utime(out / "results.jsonl")  # a run that was ended before its report
    assert xiqa(monkeypatch, *arguments) == 0
    assert (out / "report.html").stat().st_mtime_ns > before[out / "report.html"][0]


def test_rows_alone(monkeypatch, capsys, bundle, images, tmp_path):
    out = tmp_path / "out"
    assert xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", out, "--no-report") == 0
    assert "results.json" in capsys.readouterr().out
    assert {path.name for path in out.iterdir() if path.suffix} >= {"results.json", "results.csv"}
    assert not (out / "report.html").exists()
    assert not (out / "overlays").exists()
    assert len(results(out)) == 3


def test_json_for_programs_and_quiet_for_scripts(monkeypatch, capsys, bundle, images, tmp_path):
    (images / "bad.png").write_text("no")
    out = tmp_path / "out"
    arguments = ("assess", images, tmp_path / "absent.png", "--model", bundle, "--out", out)
    assert xiqa(monkeypatch, *arguments, "--json") == 1
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert [row["verdict"] for row in rows] == ["reacquire"] * 3 + ["not_assessed"]
    assert rows == json.loads((out / "results.json").read_text())
    assert "absent.png" in captured.err
    assert xiqa(monkeypatch, *arguments, "--quiet") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Not assessed" in captured.err
    assert "absent.png" in " ".join(captured.err.split())


def test_where_there_is_no_terminal_progress_is_a_line_now_and_then(
    monkeypatch, capsys, bundle, images, tmp_path
):
    monkeypatch.setattr("xiqa.cli.assess._Log.EVERY", 0.0)
    assert xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", tmp_path / "out") == 0
    told = capsys.readouterr().out
    assert "1 of 3, about" in told
    assert "3 of 3, about 0 s left" in told
