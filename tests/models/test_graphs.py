"""The graph beside the shipped weights is the same model, and is what assesses where it will do."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import xiqa
from xiqa.assessment import loading
from xiqa.assessment.loading import load_runtime
from xiqa.errors import BundleError, ConfigError, MissingDependencyError
from xiqa.imaging import image_files
from xiqa.models.shelf import CARD, GRAPH, bundle_folder, read_card
from xiqa.simulation.chest import simulate_chest

MODEL = "cxr-foreign-objects"


def kind(runtime):
    return runtime.versions["runtime"].partition(" ")[0]


def agreement(images):
    """Both runtimes' results, side by side, after what must be equal was compared."""
    results = [xiqa.assess(load_runtime(MODEL, engine), images) for engine in ("torch", "onnxruntime")]
    for torch, graph in zip(*results, strict=True):
        assert (torch.verdict, torch.code) == (graph.verdict, graph.code), torch.file
        peaks = [[found.peak for found in result.findings] for result in (torch, graph)]
        assert peaks[0] == peaks[1], torch.file
        for one, other in zip(torch.findings, graph.findings, strict=True):
            np.testing.assert_allclose(one.box, other.box, atol=1e-3, err_msg=torch.file)
        if torch.probability is not None:
            assert graph.probability == pytest.approx(torch.probability, abs=2e-5)
        yield torch, graph


def test_the_graph_gives_the_verdicts_and_places_of_the_weights():
    results = list(agreement([simulate_chest(seed).image for seed in (1, 2, 4)]))
    assert {graph.provenance["precision"] for _, graph in results} == {"float32"}
    assert all(torch.provenance["model_hash"] == graph.provenance["model_hash"] for torch, graph in results)
    assert all(torch.provenance["method"] == graph.provenance["method"] for torch, graph in results)


@pytest.mark.long
@pytest.mark.realdata
@pytest.mark.timeout(3600)
def test_so_it_does_on_every_real_radiograph(real_images):
    assert len(list(agreement([str(path) for path in image_files([str(real_images)])]))) > 100


def test_the_graph_has_the_present_card():
    assert load_runtime(MODEL, "onnxruntime").card == read_card(MODEL)


@pytest.mark.parametrize(
    ("asked", "ran"),
    [
        ({}, "onnxruntime"),
        ({"methods": (read_card(MODEL).method,)}, "onnxruntime"),
        ({"methods": ("normgrad_conv1x1",)}, "torch"),
        ({"gradients": True}, "torch"),
        ({"device": "meta"}, "torch"),
        ({"engine": "torch"}, "torch"),
        ({"engine": "openvino"}, "openvino"),
    ],
)
def test_what_runs_follows_from_what_is_asked(asked, ran):
    assert kind(load_runtime(MODEL, **asked)) == ran


def test_the_graph_of_an_earlier_card_is_not_used(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(bundle_folder(MODEL), folder)
    for name in (CARD, "model.safetensors"):
        shutil.copy(bundle_folder("cxr-foreign-objects@1") / name, folder)
    assert kind(load_runtime(folder)) == "torch"
    with pytest.raises(BundleError, match=r"another card.*xiqa export --model"):
        load_runtime(folder, "onnxruntime")
    (folder / GRAPH).unlink()
    with pytest.raises(BundleError, match="has no graph for openvino"):
        load_runtime(folder, "openvino")


def test_without_torch_the_graph_runs_and_the_rest_says_what_to_install(monkeypatch):
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    assert kind(load_runtime(MODEL)) == "onnxruntime"
    with pytest.raises(MissingDependencyError, match=r"xiqa\[torch\].*own heat map needs none"):
        load_runtime(MODEL, gradients=True)


def test_an_unknown_engine_is_told_before_a_model_is_looked_for():
    with pytest.raises(ConfigError, match="unknown runtime"):
        load_runtime("no such model", "tensorrt")
    with pytest.raises(ConfigError, match="PyTorch runs no"):
        load_runtime("absent.onnx", "torch")


TORCHLESS = """
import sys
sys.modules["torch"] = None
import xiqa
from xiqa.cli import main
from xiqa.simulation.chest import simulate_chest
(result,) = xiqa.assess("cxr-foreign-objects", simulate_chest(1).image)
print(result.verdict)
sys.argv = ["xiqa", "models", "list"]
main()
"""


def test_assessing_and_listing_models_import_no_torch():
    done = subprocess.run(
        [sys.executable, "-c", TORCHLESS],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in {"accept", "reacquire", "review"}
    assert "cxr-foreign-objects@1" in done.stdout
