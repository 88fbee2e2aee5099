"""Networks that are no plain classifiers: one typed error for all methods, or a function as the target."""

import pytest
import torch
from torch import nn

from tests.contracts.conftest import METHODS, TargetLayers, tiny
from xiqa.errors import SaliencyError
from xiqa.saliency.engine import attribute
from xiqa.saliency.probe import TorchProbe
from xiqa.saliency.registry import Method

LAYERS = TargetLayers("net.block2", ("net.block1", "net.block2"))
FEW = [
    METHODS[name] for name in ("gradcam", "gradient", "guidedbackprop", "lrp_zero", "occlusion", "reciprocam")
]


class Around(nn.Module):
    """What a network gives, changed."""

    def __init__(self, change):
        super().__init__()
        self.net, self.change = tiny(), change

    def forward(self, x):
        return self.change(self.net(x))


class Two(Around):
    def forward(self, x, other):
        return self.net(x) + other


class Fixed(Around):
    def forward(self, x):
        if len(x) != 2:
            raise ValueError("Got invalid dimensions for input: Got: 64 Expected: 2")
        return self.net(x)


def noise(kind=torch.double):
    return torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(3)).to(kind)


OUTPUTS = {
    "a tuple": lambda z: (z, z),
    "a dict": lambda z: {"logits": z},
    "one number an image": lambda z: z[:, 0],
    "maps": lambda z: z[:, :, None, None].expand(-1, -1, 2, 2),
    "a row for all": lambda z: z.mean(0, keepdim=True),
    "nothing": lambda z: None,
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_output_that_is_no_logits(output, method):
    with pytest.raises(SaliencyError, match="not a classifier's output: expected logits") as error:
        attribute(Around(OUTPUTS[output]), noise(), method, target=1, layers=LAYERS)
    assert "target=lambda output" in str(error.value)


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]


@pytest.mark.parametrize(
    ("network", "images", "problem"),
    [
        (lambda: Two(None), noise(), "does not take the images.*alone"),
        (lambda: Around(lambda z: z), (noise() * 9).long(), "whole numbers have no gradient.*int64"),
        (lambda: Around(lambda z: z), (noise() * 9).to(torch.uint8), "whole numbers.*uint8"),
        (lambda: Around(lambda z: z), noise(torch.float32), r"its own type \(float64\), got float32"),
        (lambda: Around(lambda z: z), noise()[0], "not a batch of images"),
    ],
    ids=["two inputs", "int64", "uint8", "another type", "no batch"],
)
def test_images_that_the_network_does_not_take(network, images, problem, method):
    with pytest.raises(SaliencyError, match=problem):
        attribute(network(), images, method, target=1, layers=LAYERS)


def test_no_target(method):
    with pytest.raises(SaliencyError, match="nothing to explain"):
        attribute(Around(lambda z: z), noise(), method, target=None, layers=LAYERS)


@pytest.mark.parametrize("name", ["occlusion", "rise", "lime", "onepixel", "scorecam"])
def test_a_network_of_fixed_batches(name):
    with pytest.raises(SaliencyError, match="Expected: 2"):
        attribute(Fixed(None), noise(), METHODS[name], target=1, layers=LAYERS)


def test_a_probe_that_fails_or_gives_no_logits():
    def fails(images):
        raise ValueError("INVALID_ARGUMENT: got 64, expected 1")

    for probe, problem in ((fails, "INVALID_ARGUMENT"), (lambda images: {"logits": images}, "of logits")):
        with pytest.raises(SaliencyError, match=problem):
            attribute(probe, noise(), METHODS["occlusion"], target=1)
    with pytest.raises(SaliencyError, match="not a classifier's output"):
        TorchProbe(Around(lambda z: (z,)))(noise())


# CAM is not defined: something else than one linear layer follows.
@pytest.mark.applies(to=lambda params: params["method"] != "cam")
@pytest.mark.parametrize("output", ["a dict", "a tuple", "one number an image"])
def test_a_function_as_the_target_makes_it_usable(output, method):
    pick = {"a dict": lambda o: o["logits"][:, 2], "a tuple": lambda o: o[1][:, 2]}.get(output, lambda o: o)
    row = 0 if output == "one number an image" else 2
    found = attribute(Around(OUTPUTS[output]), noise(), method, target=pick, layers=LAYERS)[str(method)]
    expected = attribute(Around(lambda z: z[:, row : row + 1]), noise(), method, target=1, layers=LAYERS)
    assert torch.allclose(found, expected[str(method)], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        (lambda out: out["logit"], "cannot be read from the output.*KeyError"),
        (lambda out: out["logits"], "no score an image"),
        (lambda out: 3.0, "no score an image"),
    ],
)
def test_a_function_that_fails_is_told(target, problem):
    for one in FEW:
        with pytest.raises(SaliencyError, match=problem):
            attribute(Around(OUTPUTS["a dict"]), noise(), one, target=target, layers=LAYERS)


@pytest.mark.parametrize("compiled", ["script", "trace"])
def test_a_compiled_network_has_maps_or_a_typed_error(compiled, method):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    network = network.double().eval()
    made = torch.jit.script(network) if compiled == "script" else torch.jit.trace(network, noise())
    try:
        found = attribute(made, noise(), method, target=1)[str(method)]
    except Exception as error:
        assert type(error).__module__ == "xiqa.errors", repr(error)  # noqa: PT017 - any of the family
        return
    expected = attribute(network, noise(), method, target=1, layers=TargetLayers("1", ("1",)))[str(method)]
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-10)


class Listed(nn.Module):
    """A network with a length: 0, so that it is false; or one whose truth is an error."""

    def __init__(self, truth):
        super().__init__()
        self.net, self.truth = tiny(), truth

    def forward(self, x):
        return self.net(x)

    def __len__(self):
        if self.truth is None:
            raise TypeError("object has no length")
        return self.truth


@pytest.mark.parametrize("truth", [0, None])
@pytest.mark.parametrize("name", ["metasaliency", "smoothed", "evet", "sess", "occlusion", "gradcam"])
def test_a_network_that_is_false_is_a_network(truth, name):
    rate = {"rate": 1.0} if name == "metasaliency" else {}
    method = Method(name, **METHODS[name].params | rate)
    found = attribute(Listed(truth), noise(), method, target=1, layers=LAYERS)[str(method)]
    expected = attribute(Around(lambda z: z), noise(), method, target=1, layers=LAYERS)[str(method)]
    assert torch.equal(found, expected)
