"""Probe methods on NumPy arrays give what they give on tensors, and need no torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.models.layers import TargetLayers
from xiqa.saliency.arrays import enlarge, stretch, uniform
from xiqa.saliency.engine import attribute
from xiqa.saliency.perturbation.copies import baseline
from xiqa.saliency.portable import bind_portable, probe_map
from xiqa.saliency.probe import class_score
from xiqa.saliency.registry import portable_methods


class Network(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 6, 3, stride=2), nn.ReLU())
        self.head = nn.Sequential(nn.Conv2d(6, 5, 3), nn.Tanh(), nn.AdaptiveMaxPool2d(2), nn.Flatten())
        self.last = nn.Linear(20, classes)

    def forward(self, images):
        return self.last(self.head(self.stem(images)))


class Cut:
    """The network as an exported graph shows itself: NumPy arrays, cut at one layer."""

    def __init__(self, network):
        self.network = network

    def __call__(self, images):
        assert isinstance(images, np.ndarray)
        with torch.no_grad():
            return self.network(torch.from_numpy(images)).numpy()

    def features(self, layer, image):
        with torch.no_grad():
            return self.network.get_submodule(layer)(torch.from_numpy(image)[None]).numpy()

    def behind(self, layer, image):
        with torch.no_grad():
            return lambda copies: (
                self.network.last(self.network.head(torch.from_numpy(copies))).detach().numpy()
            )


@pytest.fixture(params=[1, 3], ids=["one logit", "three"])
def network(request):
    torch.manual_seed(0)
    return Network(request.param).eval()


METHODS = [
    "rise:masks=70,grid=4,keep=0.3,seed=7",
    "rise:masks=20,baseline=mean",
    "occlusion:window=5,stride=3",
    "occlusion:window=0.25,stride=4,output=logit,baseline=blur",
    "scorecam",
    "scorecam:variant=authors,channels=3",
    "iscam:steps=3",
    "reciprocam",
    "reciprocam:kernel=neighbour,output=logit",
    "reciprocam:kernel=centre",
]


@pytest.mark.parametrize("method", METHODS)
def test_a_map_is_the_tensors_map(network, method):
    images = torch.randn(2, 2, 19, 16, generator=torch.Generator().manual_seed(1))
    target = 0 if network.last.out_features == 1 else 2
    (wanted,) = attribute(network, images, method, target=target, layers=TargetLayers("stem", ())).values()
    bound = bind_portable(method)
    for image, expected in zip(images.numpy(), wanted.numpy(), strict=True):
        found = probe_map(Cut(network), image, bound, target, "stem")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)


def test_every_portable_method_is_compared():
    assert {method.partition(":")[0] for method in METHODS} == set(portable_methods())


def test_an_image_that_is_not_finite_has_a_map_of_nan(network):
    image = np.full((2, 19, 16), np.nan, np.float32)
    assert np.isnan(probe_map(Cut(network), image, bind_portable("rise:masks=4"), 0, "stem")).all()


def test_random_numbers_are_torchs():
    generator = torch.Generator().manual_seed(12345)
    for drawn, shape in zip(uniform(12345, (37, 3), (11,)), [(37, 3), (11,)], strict=True):
        np.testing.assert_array_equal(drawn, torch.rand(shape, generator=generator).numpy())


@pytest.mark.parametrize("output", ["probability", "sigmoid", "logit"])
@pytest.mark.parametrize("classes", [1, 4])
def test_scores_are_torchs(output, classes):
    logits = 5 * torch.randn(6, classes, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, 1, 0, 1, 0, 1]) if classes == 1 else torch.tensor([0, 1, 2, 3, 0, 3])
    found = class_score(logits.numpy(), target.numpy(), output=output)
    np.testing.assert_allclose(found, class_score(logits, target, output=output).numpy(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["mean", "min", "blur", 0.5])
def test_baselines_are_torchs(kind):
    image = torch.randn(3, 12, 10, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(baseline(image.numpy(), kind), baseline(image, kind).numpy(), rtol=1e-5)


def test_enlarged_and_stretched_maps_are_torchs():
    maps = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    maps[1] = 2.0
    wanted, found = stretch(enlarge(maps, (9, 16))), stretch(enlarge(maps.numpy(), (9, 16)))
    np.testing.assert_allclose(found[[0, 2]], wanted[[0, 2]].numpy(), atol=1e-6)


@pytest.mark.parametrize("method", ["gradcam", "sess(rise)", "scorecam:layers=multi"])
def test_what_is_not_portable_is_refused(method):
    with pytest.raises(SaliencyError, match=r"needs PyTorch|one layer"):
        bind_portable(method)


def test_torch_is_not_imported():
    code = """
import sys, numpy as np
from xiqa.saliency.portable import bind_portable, probe_map
from xiqa.saliency.registry import portable_methods
class Model:
    def __call__(self, images): return images.mean((2, 3))
    def features(self, layer, image): return image[None]
    def behind(self, layer, image): return self
for method in portable_methods():
    image = np.random.default_rng(0).random((2, 8, 8), np.float32)
    values = probe_map(Model(), image, bind_portable(method), 1, "input")
    assert values.shape == (8, 8)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
