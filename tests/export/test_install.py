"""An install without PyTorch, in an environment of its own, assesses with an exported model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from xiqa.export import export_model
from xiqa.models import load_model

ROOT = Path(__file__).resolve().parents[2]


def run(*command, cwd):
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_an_install_without_torch_assesses_and_probes(tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python, xiqa = (tmp_path / "venv" / "bin" / name for name in ("python", "xiqa"))
    run(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        f"{ROOT}[onnx]",
        cwd=tmp_path,
    )
    find = (
        "import importlib.util as u; print([m for m in ('torch', 'timm', 'torchvision') if u.find_spec(m)])"
    )
    assert run(python, "-c", find, cwd=tmp_path).strip() == "[]"
    packages = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    files = [path for path in packages.rglob("*") if path.is_file() and not path.is_symlink()]
    size = sum(path.stat().st_size for path in files if "pip" not in path.relative_to(packages).parts[0])
    print(f"{size / 1e6:.0f} MB")  # what docs/export.md tells
    assert size < 900e6

    export_model(load_model(), tmp_path / "model.onnx", method="normgrad_conv1x1")
    run(xiqa, "simulate", "chest", "--count", 1, "--seed", 1, "--out", "images", cwd=tmp_path)
    run(xiqa, "assess", "images/images", "--model", "model.onnx", "--out", "report", cwd=tmp_path)
    (line,) = (tmp_path / "report" / "results.jsonl").read_text().splitlines()
    row = json.loads(line)["result"]
    assert row["verdict"] in ("accept", "reacquire", "review")
    assert row["probability"] is not None
    assert (tmp_path / "report" / "report.html").is_file()
    image = next((tmp_path / "images" / "images").iterdir())
    methods = ["rise:masks=4", "occlusion:stride=0.5,window=0.5", "scorecam:channels=2", "reciprocam"]
    options = [part for method in methods for part in ("--method", method)]
    run(xiqa, "explain", image, "--model", "model.onnx", *options, "--out", "maps", cwd=tmp_path)
    assert (tmp_path / "maps" / "contact-sheet.png").is_file()
