"""``xiqa train`` in a process of its own, as a user starts it."""

import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from xiqa.cli import main
from xiqa.cli.models import app
from xiqa.errors import ConfigError

from .test_recipe import FOLDER


@pytest.fixture
def train(monkeypatch, capsys, tmp_path):
    """The command inside this process: its exit status and what it writes as an error."""

    def run(*words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["xiqa", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code or 0, capsys.readouterr().err

    return run


def test_a_wrong_recipe_is_one_readable_line(tmp_path):
    (tmp_path / "recipe.toml").write_text("name = 3\n")
    command = [sys.executable, "-m", "xiqa", "train", str(tmp_path / "recipe.toml"), "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("xiqa: ")
    assert "recipe.toml" in done.stderr


def test_an_absent_data_set_is_told_before_anything_is_built(train, tmp_path):
    text = (
        'name = "tiny"\nphases = [{ epochs = 1 }]\n'
        '[card]\nintended_use = ""\nlimits = ""\nnot_for = ""\ntraining_data = ""\nlicence = ""\n'
    )
    (tmp_path / "recipe.toml").write_text(text)
    status, error = train("train", tmp_path / "recipe.toml", "--data", tmp_path)
    assert status == 2
    assert "foreign_objects" in error


def test_the_report_command_writes_what_it_shows(tmp_path, monkeypatch):
    import xiqa.models.bundle
    import xiqa.training.train
    from xiqa.scoring.classifier import classifier_report

    report = classifier_report([[0.9, 0.1], [0.3, 0.7]], [0, 1], ("clean", "foreign"), name="tiny")
    asked = []
    monkeypatch.setattr(xiqa.models.bundle, "load_model", lambda name: name)
    monkeypatch.setattr(
        xiqa.training.train, "report_bundle", lambda *arguments: asked.append(arguments) or report
    )
    options = ["report", "mine", "--data", str(tmp_path), "--split", "val", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    assert asked == [("mine", tmp_path, "val")]
    assert "foreign" in done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "classifier.md",
        "classifier.json",
        "classifier.png",
    }
    wrong = CliRunner().invoke(app, ["report", "mine", "--split", "all", "--out", str(tmp_path / "out")])
    assert isinstance(wrong.exception, ConfigError)
    assert "train, val, test" in str(wrong.exception)


def test_a_recipe_of_data_and_one_without_a_quick_version_say_what_to_do(train, tmp_path):
    shipped = str(FOLDER / "cxr-foreign-objects.toml")
    for options, told in (([], "needs data"), (["--quick"], "has no quick version")):
        status, error = train("train", shipped, *options, "--out", tmp_path / "run")
        assert status == 2
        assert told in error


KILLED = """
name = "killed"
classes = ["without_lvot", "with_lvot"]
pretrained = false
batch_size = 2
workers = 2
data = { layout = "simulated_cardiac", images = 80 }
architecture = { backbone = "test_resnet" }
preprocessing = { size = [48, 48] }
phases = [{ epochs = 3, learning_rate = 1e-3 }]
[card]
intended_use = ""
limits = ""
not_for = ""
training_data = ""
licence = ""
"""


@pytest.mark.long
def test_a_process_that_is_killed_inside_an_epoch_and_resumed_gives_the_same_weights(tmp_path):
    recipe = tmp_path / "killed.toml"
    recipe.write_text(KILLED)

    def command(out, *options):
        return [sys.executable, "-m", "xiqa", "train", str(recipe), "--out", str(tmp_path / out), *options]

    subprocess.run(command("whole"), check=True, capture_output=True, timeout=300)
    process = subprocess.Popen(command("part"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "part" / "phase-1" / "last.ckpt"  # after 25 of 90 steps
    deadline = time.monotonic() + 200
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "part" / "phase-1" / "done").exists()
    subprocess.run(command("part", "--resume"), check=True, capture_output=True, timeout=300)
    whole, part = (load_file(tmp_path / out / "bundle" / "model.safetensors") for out in ("whole", "part"))
    assert whole.keys() == part.keys()
    assert all(whole[name].equal(part[name]) for name in whole)
