"""Which families of networks an ONNX graph can hold, map and all."""

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xiqa.assessment.runtimes.onnx import OnnxRuntime
from xiqa.assessment.runtimes.torch import TorchRuntime
from xiqa.errors import SaliencyError
from xiqa.export import export_model
from xiqa.export.onnx import to_onnx
from xiqa.export.trace import trace
from xiqa.models.architecture import Architecture
from xiqa.models.backbones import build_network
from xiqa.models.bundle import LoadedModel
from xiqa.models.card import BundleCard, Layers
from xiqa.models.layers import target_layers
from xiqa.models.preprocess import Preprocessing

TEXT = dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "a test")


def family(name, side=64):
    """A network of a family with calibrated batch norm; only its structure matters."""
    torch.manual_seed(0)
    architecture = Architecture(backbone=name)
    network = build_network(architecture).train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.randn(4, 3, side, side))
    layers = target_layers(network.eval())
    card = BundleCard(
        name="family",
        created="2026-01-01",
        architecture=architecture,
        preprocessing=Preprocessing(size=(side, side)),
        classes=("fine", "poor"),
        poor_class=1,
        temperature=1.3,
        threshold=0.5,
        review_band=(0.4, 0.6),
        layers=Layers(last=layers.last, multi=tuple(layers.stages)),
        method="gradcam",
        **TEXT,
    )
    return LoadedModel(network, card)


def compare(model, file, method):
    export_model(model, file, method=method)
    runtime, side = OnnxRuntime(file, threads=1), model.card.preprocessing.size
    batch = np.random.default_rng(1).standard_normal((2, 3, *side)).astype(np.float32)
    wanted = TorchRuntime(model).infer(batch, runtime.resolve(None))
    got = runtime.infer(batch, runtime.resolve(None))
    np.testing.assert_allclose(got.probabilities, wanted.probabilities, atol=1e-5)
    # a fourth root over several layers turns a rounding error where one is dark into a thousandth
    np.testing.assert_allclose(got.maps, wanted.maps, atol=5e-3 * np.abs(wanted.maps).max())
    assert np.ptp(wanted.maps) > 0
    alone = runtime.infer(batch[1:], runtime.resolve(None))
    np.testing.assert_allclose(alone.maps, got.maps[1:], atol=1e-5 * np.abs(wanted.maps).max())


@pytest.mark.long
@pytest.mark.parametrize("method", ["gradcam", "normgrad_conv1x1:layers=multi"])
@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "mobilenetv3_small_050", "efficientnet_b0"])
def test_a_familys_graph_gives_its_maps(name, method, tmp_path):
    compare(family(name), tmp_path / "family.onnx", method)


@pytest.mark.long
def test_dense_networks_too(tmp_path):
    compare(family("densenet121"), tmp_path / "family.onnx", "gradcam")


@pytest.mark.long
def test_the_free_axis_is_called_batch(tmp_path):
    model = family("test_resnet")
    export_model(model, tmp_path / "named.onnx")
    graph = onnx.load(tmp_path / "named.onnx").graph
    for value in (*graph.input, *graph.output):
        first, *others = value.type.tensor_type.shape.dim
        assert first.dim_param == "batch"
        assert all(dim.dim_value > 0 for dim in others)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        pytest.param((2, 2), (2, 2), (0, 0), marks=pytest.mark.long),
        ((3, 2), (2, 1), (1, 0)),
        pytest.param((3, 3), (1, 2), (1, 1), marks=pytest.mark.long),
    ],
)
def test_the_gradient_of_average_pooling_is_pytorchs(kernel, stride, padding, tmp_path):
    convolution = nn.Conv2d(3, 4, 3).requires_grad_(False)

    def run(images):
        with torch.enable_grad():
            features = convolution(images).detach().requires_grad_()
            pooled = F.avg_pool2d(features, kernel, stride, padding)
            return torch.autograd.grad(pooled.square().sum((1, 2, 3)).sum(), features)

    example = torch.randn(1, 3, 11, 14)
    program = trace(run, example)
    images = torch.randn(2, 3, 11, 14)
    torch.testing.assert_close(program.module()(images), run(images), rtol=1e-5, atol=1e-6)
    proto = to_onnx(program, ["gradient"])
    assert {node.op_type for node in proto.graph.node} >= {"Conv", "AveragePool"}


def test_an_operation_without_an_onnx_form_is_named():
    def run(images):
        return (torch.linalg.svdvals(images[:, 0]),)

    with pytest.raises(SaliencyError, match=r"no ONNX form.*svd"):
        to_onnx(trace(run, torch.randn(1, 3, 5, 5)), ["values"])


def test_a_graph_for_one_size_of_batch_alone_is_refused(tmp_path):
    def run(images):
        return (images.reshape(7, -1),)

    with pytest.raises(SaliencyError, match="cannot be traced"):
        trace(run, torch.randn(1, 3, 5, 5))
