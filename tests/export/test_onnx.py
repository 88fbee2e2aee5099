"""Exported models against PyTorch, on a tiny network of the shipped model's kind."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from xiqa.assessment import assess, explain
from xiqa.assessment.loading import load_runtime
from xiqa.assessment.runtimes.onnx import OnnxRuntime
from xiqa.assessment.runtimes.torch import TorchRuntime
from xiqa.errors import BundleError, ConfigError, SaliencyError
from xiqa.export import export_model
from xiqa.export.graph import exportable
from xiqa.models.architecture import Architecture
from xiqa.models.backbones import build_network
from xiqa.models.bundle import load_model, save_bundle
from xiqa.models.card import BundleCard, Layers
from xiqa.models.guard import fit_guard
from xiqa.models.preprocess import Preprocessing
from xiqa.models.views.check import ViewCheck
from xiqa.models.views.network import ViewNet
from xiqa.simulation.cardiac import simulate_cardiac

pytestmark = pytest.mark.long  # one export takes ten seconds
SIZE = (64, 64)
TEXT = dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "a test")
ENGINES = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny evidence network with calibrated batch norm, a guard and a temperature."""
    torch.manual_seed(0)
    architecture = Architecture(backbone="test_efficientnet", head="evidence", stages=(1, 2, 3), width=8)
    network = build_network(architecture)
    network.train()
    with torch.no_grad():
        for _ in range(5):
            network(torch.randn(8, 3, *SIZE))
    network.eval()
    network.scale.weight.data.fill_(3.0)
    layers = tuple(f"laterals.{i}" for i in range(3))
    card = BundleCard(
        name="tiny",
        created="2026-01-01",
        architecture=architecture,
        preprocessing=Preprocessing(size=SIZE),
        classes=("fine", "poor"),
        poor_class=1,
        temperature=1.7,
        threshold=0.4,
        review_band=(0.3, 0.5),
        layers=Layers(last="fuse", multi=(*layers, "fuse")),
        method="normgrad_conv1x1:layers=multi",
        **TEXT,
    )
    guard = fit_guard(torch.randn(40, 6 * 8), layers, threshold=5.0, axes=4)
    folder = tmp_path_factory.mktemp("bundle")
    save_bundle(folder, network, card, guard, ViewNet(ViewCheck(side=32)).eval())
    return load_model(folder)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    export_model(model, file)
    return file


def images(count):
    return np.random.default_rng(1).standard_normal((count, 3, *SIZE)).astype(np.float32)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [1, 3])
def test_graph_equals_torch(model, exported, engine, count):
    torch_runtime, runtime = TorchRuntime(model), OnnxRuntime(exported, engine)
    batch = images(count)
    method = runtime.resolve(None)
    wanted, got = torch_runtime.infer(batch, method), runtime.infer(batch, method)
    np.testing.assert_allclose(got.probabilities, wanted.probabilities, atol=1e-5)
    np.testing.assert_allclose(got.distances, wanted.distances, rtol=1e-3)
    assert wanted.views.shape == (count, 6)
    np.testing.assert_allclose(got.views, wanted.views, atol=1e-5)
    np.testing.assert_allclose(got.maps, wanted.maps, rtol=1e-2, atol=1e-4 * np.abs(wanted.maps).max())


@pytest.mark.parametrize("engine", ENGINES)
def test_same_verdicts_and_places(model, exported, engine):
    slices = [simulate_cardiac(seed, size=(96, 80)).image for seed in range(3)]
    for wanted, got in zip(
        assess(model, slices), assess(load_runtime(exported, engine), slices), strict=True
    ):
        assert (got.verdict, got.code) == (wanted.verdict, wanted.code)
        assert got.provenance["view"] == wanted.provenance["view"]
        assert got.probability == pytest.approx(wanted.probability, abs=1e-5)
        assert [f.peak for f in got.findings] == [f.peak for f in wanted.findings]


@pytest.mark.parametrize(("precision", "part", "atol"), [("float16", 0.6, 5e-3), ("int8", 0.45, 2e-2)])
def test_weights_take_fewer_bytes(model, exported, tmp_path, precision, part, atol):
    file = tmp_path / "small.onnx"
    assert export_model(model, file, precision=precision).precision == precision
    before, after = (sum(len(w.raw_data) for w in onnx.load(f).graph.initializer) for f in (exported, file))
    assert after < part * before
    batch, method = images(2), OnnxRuntime(file).resolve(None)
    wanted, got = (OnnxRuntime(f).infer(batch, method) for f in (exported, file))
    np.testing.assert_allclose(got.probabilities, wanted.probabilities, atol=atol)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    """A network with a pooled linear head."""
    torch.manual_seed(0)
    architecture = Architecture(backbone="test_efficientnet")
    network = build_network(architecture)
    network.train()
    with torch.no_grad():
        for _ in range(5):
            network(torch.randn(8, 3, *SIZE))
    card = BundleCard(
        name="pooled",
        created="2026-01-01",
        architecture=architecture,
        preprocessing=Preprocessing(size=SIZE),
        classes=("fine", "poor"),
        poor_class=1,
        temperature=1.0,
        threshold=0.5,
        review_band=(0.4, 0.6),
        layers=Layers(last="bn2", multi=("blocks.1", "bn2")),
        method="cam",
        **TEXT,
    )
    folder = tmp_path_factory.mktemp("pooled")
    save_bundle(folder, network.eval(), card)
    return load_model(folder)


@pytest.mark.parametrize(
    "method",
    ["cam", "reciprocam", "reciprocam:output=logit", "gradcam", "layercam:layers=multi", "gradcampp"],
)
def test_every_kind_of_method_equals_torch(pooled, tmp_path, method):
    file = tmp_path / "m.onnx"
    export_model(pooled, file, method=method)
    batch, runtime = images(2), OnnxRuntime(file)
    name = runtime.resolve(None)
    wanted, got = TorchRuntime(pooled).infer(batch, name), runtime.infer(batch, name)
    assert got.distances is None
    np.testing.assert_allclose(got.maps, wanted.maps, rtol=1e-2, atol=1e-4 * np.abs(wanted.maps).max())


def test_a_closed_form_without_its_head_is_refused(model, tmp_path):
    with pytest.raises(SaliencyError, match="global average pooling"):
        export_model(model, tmp_path / "x.onnx", method="cam")


def test_metadata_tells_what_a_person_looks_for(model, exported):
    told = {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
    assert told["classes"] == "fine, poor"
    assert told["hash"] == model.card.hash
    assert told["heatmap_method"] == "normgrad_conv1x1:layers=multi"
    assert told["licence"] == "a test"
    assert "64" in told["preprocessing"]
    onnx.checker.check_model(onnx.load(exported))


def test_another_heat_map_is_refused(exported):
    runtime = OnnxRuntime(exported)
    with pytest.raises(SaliencyError, match="one heat map"):
        runtime.resolve("gradcam")


PROBED = ["rise:masks=12", "occlusion:output=logit", "scorecam:channels=5", "reciprocam:kernel=neighbour"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "method", [*PROBED, "scorecam:layers=laterals.1,channels=3", "reciprocam:layers=laterals.2"]
)
def test_probe_methods_run_on_the_graphs_parts(model, exported, engine, method):
    runtime = OnnxRuntime(exported, engine)
    batch, name = 30 * images(2), runtime.resolve(method)  # of a contrast that moves the logits
    wanted, got = TorchRuntime(model).infer(batch, name), runtime.infer(batch, name)
    np.testing.assert_allclose(got.probabilities, wanted.probabilities, atol=1e-5)
    # a score's rounding, against what the scores differ by
    spread = wanted.maps.max() - wanted.maps.min()
    np.testing.assert_allclose(got.maps, wanted.maps, rtol=1e-3, atol=5e-3 * spread)


def test_a_graph_is_cut_where_the_card_says(model, exported):
    runtime = OnnxRuntime(exported)
    image = images(1)[0]
    with torch.no_grad():
        logits = model.network(torch.from_numpy(image)[None]).numpy()
    np.testing.assert_allclose(runtime.graph(image[None]), logits, atol=1e-5)
    for layer in ("fuse", *(f"laterals.{i}" for i in range(3))):
        features = runtime.graph.features(layer, image)
        twice = np.concatenate([features, 0 * features])
        found = runtime.graph.behind(layer, image)(twice)
        np.testing.assert_allclose(found[:1], logits, atol=1e-5)
        assert (found[1] != found[0]).any()
    with pytest.raises(SaliencyError, match="cannot be cut"):
        runtime.resolve("scorecam:layers=body")


def test_explaining_with_an_exported_model(model, exported):
    radiograph = simulate_cardiac(3, size=(96, 80)).image
    runtime = load_runtime(exported)
    own, rise = str(runtime.resolve(None)), "rise:masks=6"
    wanted, got = (explain(one, radiograph, [own, rise]) for one in (model, runtime))
    for method in (own, rise):
        assert got[method][0].frame == wanted[method][0].frame
        assert got[method][0].target == 1
        np.testing.assert_allclose(
            got[method][0].values, wanted[method][0].values, atol=1e-3 * wanted[method][0].values.max()
        )
    with pytest.raises(SaliencyError, match="one class"):
        explain(runtime, radiograph, own, target="fine")


def test_a_kernel_is_stored_once(exported):
    proto = onnx.load(exported)
    kernels = [onnx.numpy_helper.to_array(one) for one in proto.graph.initializer if len(one.dims) == 4]
    known = {(kernel.shape, kernel.tobytes()) for kernel in kernels if kernel.size >= 64}
    for kernel in kernels:
        for turned in (kernel[:, :, ::-1, ::-1], kernel[:, :, ::-1, ::-1].swapaxes(0, 1)):
            same = turned.shape == kernel.shape and np.array_equal(turned, kernel)
            assert same or (turned.shape, turned.tobytes()) not in known


def test_a_method_of_many_passes_cannot_be_exported(model, tmp_path):
    with pytest.raises(SaliencyError, match="cannot be exported"):
        export_model(model, tmp_path / "x.onnx", method="rise")
    assert list(tmp_path.iterdir()) == []
    assert {"gradcam", "normgrad_conv1x1", "layercam"} <= set(exportable())


def test_broken_foreign_and_changed_files_are_refused(exported, tmp_path):
    broken = tmp_path / "broken.onnx"
    for engine in ENGINES:
        broken.write_bytes(b"no graph")
        with pytest.raises(BundleError, match="cannot be run"):
            OnnxRuntime(broken, engine)
    proto = onnx.load(exported)
    for entry in proto.metadata_props:
        if entry.key == "xiqa":
            entry.value = entry.value.replace('"threshold":0.4', '"threshold":0.3')
    changed = tmp_path / "changed.onnx"
    onnx.save(proto, changed)
    with pytest.raises(BundleError, match="was changed"):
        OnnxRuntime(changed)
    del proto.metadata_props[:]
    onnx.save(proto, changed)
    with pytest.raises(BundleError, match="not a model that xiqa exported"):
        OnnxRuntime(changed)
    with pytest.raises(BundleError, match="no model"):
        OnnxRuntime(tmp_path / "absent.onnx")
    with pytest.raises(ConfigError, match="unknown runtime"):
        OnnxRuntime(exported, "tensorrt")


def test_running_it_imports_no_torch(exported):
    code = f"""
import sys, numpy
from xiqa.assessment import assess, explain
from xiqa.assessment.loading import load_runtime
from xiqa.types import Image
image = Image(numpy.random.default_rng(0).random((70, 50), numpy.float32))
(result,) = assess(load_runtime({str(exported)!r}), image)
assert result.probability is not None
for method in ("rise:masks=3", "occlusion:stride=0.5,window=0.5", "scorecam:channels=2", "reciprocam"):
    assess(load_runtime({str(exported)!r}), image, method=method)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
