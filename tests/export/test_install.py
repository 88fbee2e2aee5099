"""A wheel in an empty folder, in environments of its own: without PyTorch, and with it."""

import json
import re
import shlex
import site
import subprocess
import sys
from pathlib import Path

import pytest

from xiqa.export import export_model
from xiqa.models import load_model

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = ("torch", "timm", "torchvision")
FIND = f"import importlib.util as u; print([m for m in {NETWORKS} if u.find_spec(m)])"
MOST_WHEEL_BYTES = 30e6


def run(*command, cwd, status=0):
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=900)
    assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout if status == 0 else done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """What `make wheel` builds."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("xiqa-*.whl")
    print(f"the wheel: {built.stat().st_size / 1e6:.1f} MB")
    assert built.stat().st_size < MOST_WHEEL_BYTES
    return built


def environment(folder):
    """The programs of a new environment."""
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    return tuple(folder / "venv" / "bin" / name for name in ("python", "xiqa"))


def install(python, *wanted, cwd):
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted, cwd=cwd)


def readme_commands():
    blocks = re.findall(r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    return [line[2:] for line in "\n".join(blocks).splitlines() if line.startswith("$ xiqa")]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_plain_install_assesses_and_says_what_the_rest_needs(wheel, tmp_path):
    python, xiqa = environment(tmp_path)
    install(python, wheel, cwd=tmp_path)
    assert run(python, "-c", FIND, cwd=tmp_path).strip() == "[]"
    packages = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    files = [path for path in packages.rglob("*") if path.is_file() and not path.is_symlink()]
    size = sum(path.stat().st_size for path in files if "pip" not in path.relative_to(packages).parts[0])
    print(f"installed: {size / 1e6:.0f} MB")  # what docs/export.md tells
    assert size < 900e6

    run(xiqa, "simulate", "chest", "--count", 1, "--seed", 1, "--out", "images", cwd=tmp_path)
    run(xiqa, "assess", "images/images", "--out", "report", cwd=tmp_path)
    (line,) = (tmp_path / "report" / "results.jsonl").read_text().splitlines()
    row = json.loads(line)["result"]
    assert row["verdict"] in ("accept", "reacquire", "review")
    assert row["provenance"]["runtime"].startswith("onnxruntime")
    assert (tmp_path / "report" / "report.html").is_file()
    assert "cxr-foreign-objects" in run(xiqa, "models", "list", cwd=tmp_path)
    assert "smoothing" in run(xiqa, "recipes", "list", cwd=tmp_path)
    assert "resnet50" in run(xiqa, "recipes", "show", "lvot-resnet50", cwd=tmp_path)
    told = run(xiqa, "assess", "images/images", "--fragility", "--out", "other", cwd=tmp_path, status=2)
    assert 'pip install "xiqa[torch]"' in told

    export_model(load_model(), tmp_path / "model.onnx", method="normgrad_conv1x1")
    image = next((tmp_path / "images" / "images").iterdir())
    run(xiqa, "assess", image, "--model", "model.onnx", "--out", "exported", cwd=tmp_path)
    install(python, f"{wheel}[onnx]", cwd=tmp_path)
    methods = ["rise:masks=4", "occlusion:stride=0.5,window=0.5", "scorecam:channels=2", "reciprocam"]
    options = [part for method in methods for part in ("--method", method)]
    run(xiqa, "explain", image, *options, "--out", "maps", cwd=tmp_path)
    assert (tmp_path / "maps" / "contact-sheet.png").is_file()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_with_torch_the_wheel_runs_the_commands_of_the_readme(wheel, tmp_path):
    python, xiqa = environment(tmp_path)
    packages = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    install(python, "--no-deps", wheel, cwd=tmp_path)
    # the networks that are installed here, behind the wheel's own package
    (packages / "behind.pth").write_text("\n".join(site.getsitepackages()))
    where = run(python, "-c", "import xiqa; print(xiqa.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(packages)
    assert len(readme_commands()) > 2
    for command in readme_commands():
        _, *arguments = shlex.split(command)
        run(xiqa, *arguments, cwd=tmp_path)
    run(xiqa, "train", "object-cxr-resnet34", "--help", cwd=tmp_path)
    run(xiqa, "benchmark", "--list", cwd=tmp_path)
