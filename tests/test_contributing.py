"""Each example of CONTRIBUTING, put in its place as it stands there, is found and runs: one file each."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"^```(python|toml)\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)


def example(sign):
    """The one block of CONTRIBUTING that has a text in it."""
    (block,) = [text for _, text in BLOCKS if sign in text]
    return block


def xiqa(tmp_path, package, name, sign, *arguments):
    """The command line's output, with an example as one more module of a package."""
    folder = tmp_path / "added"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(example(sign))
    code = (
        f"import sys, {package}\n{package}.__path__.append({str(folder)!r})\n"
        f"sys.argv = ['xiqa', *{list(map(str, arguments))!r}]\nfrom xiqa.cli import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_method(tmp_path):
    output = xiqa(tmp_path, "xiqa.saliency", "loudness", "@layer_method", "methods", "loudness")
    assert "the norm of each place's features" in output
    assert "power" in output


def test_a_metric(tmp_path):
    output = xiqa(tmp_path, "xiqa.metrics", "peak_share", "@metric", "metrics", "peak_share", "--json")
    (row,) = json.loads(output)
    assert (row["kind"], row["bounds"]) == ("complexity", [0, 1])
    names: dict = {}
    exec(example("@metric").replace('@metric("peak_share"', '@metric("peak_share_again"'), names)
    assert names["peak_share"](np.array([[3.0, -5.0], [1.0, 0.0]], dtype=np.float32)) == 0.75


def test_a_layout(tmp_path):
    for name, count in {"good": 3, "poor": 2}.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(count):
            Pillow.new("L", (8, 8), number).save(tmp_path / "data" / name / f"{number}.png")
    assert "pairs" in xiqa(tmp_path, "xiqa.datasets", "pairs", "@layout", "data", "layouts")
    output = xiqa(
        tmp_path, "xiqa.datasets", "pairs", "@layout", "data", "check", tmp_path / "data", "--layout", "pairs"
    )
    assert "5" in output


def test_a_command(tmp_path):
    Pillow.new("L", (30, 20)).save(tmp_path / "a.png")
    output = xiqa(tmp_path, "xiqa.cli", "sizes", "def command", "sizes", tmp_path / "a.png")
    assert output.strip() == "30 x 20 pixels"


@pytest.mark.long
def test_an_experiment(tmp_path):
    (tmp_path / "spread.toml").write_text(example('name = "spread"'))
    arguments = ("benchmark", tmp_path / "spread.toml", "--limit", "2", "--out", tmp_path / "run")
    output = xiqa(tmp_path, "xiqa.metrics", "peak_share", "@metric", *arguments)
    assert "normgrad_conv1x1" in output
    assert (tmp_path / "run" / "rows.parquet").is_file()


def test_every_example_passes_the_linter(tmp_path):
    for number, (kind, text) in enumerate(BLOCKS):
        if kind == "python":
            (tmp_path / f"example_{number}.py").write_text(f'"""An example."""\n\n{text}')
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml"), "--ignore", "PLC0415,B008,INP001"]
    for command in (["check", *config], ["format", "--check", "--config", str(ROOT / "pyproject.toml")]):
        done = subprocess.run([*ruff, *command, str(tmp_path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
