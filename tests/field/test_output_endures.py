"""A run whose output cannot be shown, or that is told to end, loses nothing of what it has done."""

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from xiqa.cli._parts.streams import Enduring, enduring_streams
from xiqa.models.architecture import Architecture
from xiqa.models.backbones import build_network
from xiqa.models.bundle import save_bundle
from xiqa.models.card import BundleCard, Layers
from xiqa.models.preprocess import Preprocessing
from xiqa.process import Stopped, stop_on_signals, undisturbed

TEXT = dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "a test")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a small model and 60 images."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    architecture = Architecture(backbone="test_resnet")
    card = BundleCard(
        name="tiny",
        created="2026-01-01",
        architecture=architecture,
        preprocessing=Preprocessing(size=(64, 80)),
        classes=("fine", "poor"),
        poor_class=1,
        temperature=1.7,
        threshold=0.4,
        review_band=(0.3, 0.5),
        layers=Layers(last="layer4", multi=("layer3", "layer4")),
        method="gradcam",
        **TEXT,
    )
    save_bundle(folder / "bundle", build_network(architecture), card)
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(60):
        pixels = rng.integers(0, 255, (500, 600)).astype(np.uint8)
        Pillow.fromarray(pixels).save(folder / "images" / f"{number:02}.png", compress_level=1)
    return folder


def command(place, out, *images):
    given = [str(place / "images" / name) for name in images] or [str(place / "images")]
    options = ["--model", str(place / "bundle"), "--out", str(out), "--batch-size", "1"]
    return [sys.executable, "-m", "xiqa", "assess", *given, *options]


def files_of(out):
    """The files in the rows of the table, which must be those of the journal and of the JSON file."""
    journal = [json.loads(line)["path"] for line in (out / "results.jsonl").read_text().splitlines()]
    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(json.loads((out / "results.json").read_text()))
    assert len(rows) == len(set(journal))
    assert (out / "report.html").stat().st_size > 1000
    assert not [path for path in out.iterdir() if path.name.startswith(".results")]
    return set(journal)


@pytest.mark.long
def test_a_full_disk_behind_the_terminal_costs_no_report(place, tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(place, tmp_path / "out", "01.png", "02.png"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
        )
    assert len(files_of(tmp_path / "out")) == 2
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "xiqa: cannot show everything: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_a_reader_that_has_left_costs_nothing(place, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command(place, tmp_path / "out", "01.png", "02.png"),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    os.close(writing)
    assert len(files_of(tmp_path / "out")) == 2
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.long
@pytest.mark.parametrize("stream", ["stdout", "stderr", "both"])
def test_streams_that_were_closed_before_cost_nothing(stream, place, tmp_path):
    closed = {"stdout": ">&-", "stderr": "2>&-", "both": ">&- 2>&-"}[stream]
    line = f'exec "$@" {closed}'
    done = subprocess.run(
        ["bash", "-c", line, "bash", *command(place, tmp_path / "out", "03.png")],
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0
    assert len(files_of(tmp_path / "out")) == 1


@pytest.mark.long
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_run_that_is_told_to_end_reports_what_is_done_and_goes_on_there(name, place, tmp_path):
    out, number = tmp_path / "out", getattr(signal, name)
    process = subprocess.Popen(
        command(place, out),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # nohup and a shell's background jobs pass on that signals are ignored
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509 - no thread runs here
    )
    journal, deadline = out / "results.jsonl", time.monotonic() + 200
    while time.monotonic() < deadline and not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
        time.sleep(0.01)
    process.send_signal(number)
    told = process.communicate(timeout=100)[0]
    assert process.returncode == 128 + number, told
    assert "Interrupted" in told
    assert "Traceback" not in told
    done = files_of(out)
    assert 3 <= len(done) < 60
    again = subprocess.run(command(place, out), capture_output=True, text=True, timeout=300)
    assert again.returncode == 0
    assert f"{len(done)} of 60 images are done already" in again.stdout
    assert len(files_of(out)) == 60


class Full(io.StringIO):
    """Takes a few characters, then is full."""

    def __init__(self, room, number=errno.ENOSPC):
        super().__init__()
        self.room, self.number = room, number

    def write(self, text):
        if self.tell() + len(text) > self.room:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)

    def fileno(self):
        return self.handle


@pytest.fixture
def full(tmp_path):
    stream = Full(8)
    with (tmp_path / "behind").open("w") as file:
        stream.handle = file.fileno()
        yield stream


def test_what_cannot_be_written_is_dropped_and_remembered(full):
    stream = Enduring(full)
    assert stream.write("12345") == 5
    assert stream.write("67890") == 5
    stream.writelines(["1", "2"])
    stream.flush()
    assert full.getvalue() == "12345"
    assert stream.problem.errno == errno.ENOSPC
    assert stream.getvalue() == "12345"  # everything else is the stream's own


@pytest.mark.parametrize(
    ("number", "status", "expected"),
    [
        (errno.ENOSPC, 0, 1),
        (errno.ENOSPC, 3, 3),
        (errno.EIO, 0, 1),
        (errno.EPIPE, 0, 0),
        (errno.EPIPE, 2, 2),
    ],
)
def test_success_without_output_is_told_apart(full, number, status, expected, monkeypatch):
    full.number, told = number, io.StringIO()
    monkeypatch.setattr(sys, "stdout", full)
    monkeypatch.setattr(sys, "stderr", told)
    found = None
    try:
        with enduring_streams():
            print("a line that is too long")
            sys.exit(status)
    except SystemExit as end:
        found = end.code
    assert found == expected
    assert sys.stdout is full
    assert ("cannot show" in told.getvalue()) == (number != errno.EPIPE)


def test_characters_that_the_terminal_does_not_know_are_told_by_their_code():
    raw = io.BytesIO()
    stream = Enduring(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("Röntgen 放")
    stream.flush()
    assert raw.getvalue() == b"R\\xf6ntgen \\u653e"
    assert stream.problem is None


def ask_to_end():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)


def test_signals_become_what_a_program_can_catch():
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        stop_on_signals()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        with pytest.raises(Stopped) as raised:
            ask_to_end()
        assert raised.value.status == 143
        with undisturbed():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_message_commands_no_terminal(tmp_path):
    name = "a\x1b[31mb\x07.toml"
    done = subprocess.run(
        [sys.executable, "-m", "xiqa", "train", name],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "\x1b[31mb" not in done.stderr
    assert "a\\x1b[31mb\\x07.toml" in done.stderr
