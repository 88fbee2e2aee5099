"""Each method that reads one layer against its loop replica, and against what follows from its definition."""

import numpy as np
import pytest
import torch
from tests.reference import cams as reference
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.saliency.cams import activationcams, gradcam, normgrad
from xiqa.saliency.capture import ForwardPass, LayerRecord
from xiqa.saliency.engine import attribute

MODULES = (gradcam, activationcams, normgrad)
NORMGRAD = ["normgrad_bias", "normgrad_scaling", "normgrad_conv1x1", "normgrad_conv3x3"]
OTHERS = ["gradcam", "xgradcam", "gradcampp", "hirescam", "layercam", "fem", "eigencam"]


def fast(name, record, **options):
    return next(getattr(module, name) for module in MODULES if hasattr(module, name))(record, **options)


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[(3, 4, 5), (5, 1, 1), (2, 3, 3), (9, 2, 2)], ids=str)
def record(request):
    """Two samples; some activations and gradients are exactly 0, as behind a ReLU."""
    output, grad = noise(2, *request.param), noise(2, *request.param, seed=1)
    output[:, 0] = output[:, 0].relu()
    grad[:, 1] = grad[:, 1].relu()
    return LayerRecord(output, grad)


def check(name, record, **options):
    found = fast(name, record, **options)
    for sample in range(2):
        a, g = record.output[sample].numpy(), record.grad[sample].numpy()
        expected = getattr(reference, name)(a, g, **options)
        np.testing.assert_allclose(found[sample].numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("norm", ["l2", "l1", "max"])
@pytest.mark.parametrize("name", NORMGRAD)
def test_normgrad_is_its_loops(name, norm, positive, record):
    check(name, record, norm=norm, positive=positive)


@pytest.mark.parametrize("name", OTHERS)
def test_cams_are_their_loops(name, record):
    check(name, record)


@pytest.mark.parametrize("name", ["gradcam", "xgradcam", "hirescam", "eigencam"])
def test_signs_are_kept_or_cut(name, record):
    check(name, record, relu=True)
    check(name, record, relu=False)


def test_larger_virtual_layers_give_larger_maps(record):
    scaling, small, large = (fast(name, record) for name in NORMGRAD[1:])
    assert (scaling <= small * (1 + 1e-12)).all()
    assert (small <= large * (1 + 1e-12)).all()


def test_an_outer_product_has_the_product_of_the_norms(record):
    outer = torch.einsum("nkhw,nlhw->nklhw", record.grad, record.output).flatten(1, 2)
    assert torch.allclose(outer.norm(dim=1), fast("normgrad_conv1x1", record))


def test_a_box_sum_is_the_unfolded_patch(record):
    patches = nn.functional.unfold(record.output, 3, padding=1).unflatten(2, record.output.shape[2:])
    expected = record.grad.norm(dim=1) * patches.norm(dim=1)
    assert torch.allclose(expected, fast("normgrad_conv3x3", record))


def test_an_unknown_norm_is_told(record):
    with pytest.raises(SaliencyError, match="unknown norm"):
        fast("normgrad_bias", record, norm="l3")


class Trunk(nn.Module):
    """A smooth network with a layer in the middle, and what may be put behind that layer."""

    def __init__(self, identity: nn.Module | None = None):
        super().__init__()
        torch.manual_seed(3)
        self.front = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Softplus())
        self.identity = identity or nn.Identity()
        self.back = nn.Sequential(nn.Conv2d(4, 5, 3, padding=1), nn.Softplus())
        self.head = nn.Linear(5, 3)
        self.double()

    def forward(self, images):
        return self.head(self.back(self.identity(self.front(images))).mean(dim=(2, 3)))


class Scaling(nn.Module):
    """One weight a channel and place, all 1: its weights' gradients are the places' contributions."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, *size))

    def forward(self, x):
        return x * self.weight


class Bias(Scaling):
    """One bias a channel and place, all 0."""

    def forward(self, x):
        return x + (self.weight - 1)


class Untied(nn.Module):
    """An identity convolution whose kernel is not shared by the places: one kernel a place."""

    def __init__(self, size, side):
        super().__init__()
        kernel = torch.zeros(4, 4, side, side)
        kernel[range(4), range(4), side // 2, side // 2] = 1
        self.side = side
        self.weight = nn.Parameter(kernel.flatten(1)[:, :, None].repeat(1, 1, size[0] * size[1]))

    def forward(self, x):
        patches = nn.functional.unfold(x, self.side, padding=self.side // 2)
        return torch.einsum("kpu,npu->nku", self.weight, patches).unflatten(2, x.shape[2:])


INSERTED = {
    "normgrad_bias": Bias,
    "normgrad_scaling": Scaling,
    "normgrad_conv1x1": lambda size: Untied(size, 1),
    "normgrad_conv3x3": lambda size: Untied(size, 3),
}


@pytest.mark.parametrize("name", NORMGRAD)
def test_really_inserted_identity_layers_receive_the_virtual_contributions(name):
    size, image = (5, 6), noise(1, 2, 5, 6)
    inserted = Trunk(INSERTED[name](size).double())
    logits = inserted(image)
    assert torch.allclose(logits, Trunk()(image), rtol=1e-12)  # it changes nothing
    (slope,) = torch.autograd.grad(logits[0, 1], [inserted.identity.weight])
    places = slope.flatten(0, 1).unflatten(1, size) if slope.dim() == 3 and "conv" in name else slope
    expected = places.norm(dim=0)
    (found,) = attribute(Trunk(), image, f"{name}:layers=front", target=1).values()
    assert torch.allclose(found[0], expected, rtol=1e-9)


@pytest.mark.parametrize(("name", "side"), [("normgrad_conv1x1", 1), ("normgrad_conv3x3", 3)])
def test_the_contributions_sum_to_the_shared_kernels_gradient(name, side):
    image = noise(1, 2, 5, 6)
    conv = nn.Conv2d(4, 4, side, padding=side // 2, bias=False).double()
    nn.init.dirac_(conv.weight)
    (shared,) = torch.autograd.grad(Trunk(conv)(image)[0, 1], [conv.weight])
    record = ForwardPass(Trunk(), image, ["front"]).backward(torch.tensor([1]))[0]["front"]
    patches = nn.functional.unfold(record.output, side, padding=side // 2)
    total = torch.einsum("nku,npu->kp", record.grad.flatten(2), patches)
    assert torch.allclose(total, shared.flatten(1), rtol=1e-9)


class Pooled(nn.Module):
    """Average pooling and one linear layer behind a ReLU."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.features = nn.Sequential(nn.Conv2d(3, 7, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(7, 4)
        self.double()

    def forward(self, images):
        return self.head(self.features(images).mean(dim=(2, 3)))


@pytest.mark.parametrize("name", ["normgrad_conv1x1", "normgrad_conv3x3"])
def test_behind_the_last_layer_only_pooling_the_class_is_a_factor(name):
    images = noise(2, 3, 6, 7)
    one, other = (attribute(Pooled(), images, name, target=c)[name] for c in (0, 3))
    ratio = one / other
    head = Pooled().head.weight
    assert torch.allclose(ratio, (head[0].norm() / head[3].norm()).expand_as(ratio), rtol=1e-9)


def test_normgrad_bias_is_constant_there():
    (found,) = attribute(Pooled(), noise(1, 3, 6, 7), "normgrad_bias").values()
    assert torch.allclose(found, found[:, :1, :1].expand_as(found))


def test_cam_is_gradcam_up_to_scale_and_both_explain_the_logit():
    network, images, target = Pooled(), noise(2, 3, 6, 7), torch.tensor([2, 1])
    names = ["cam", "gradcam:relu=false", "hirescam", "xgradcam:relu=false"]
    cam, grad, hires, xgrad = attribute(network, images, names, target=target).values()
    assert torch.allclose(cam, grad * 42, rtol=1e-9)
    assert torch.allclose(hires, grad, rtol=1e-9)
    assert torch.allclose(xgrad, grad, rtol=1e-9)
    with torch.no_grad():
        logits = network(images).gather(1, target[:, None])[:, 0] - network.head.bias[target]
    assert torch.allclose(grad.sum(dim=(1, 2)), logits, rtol=1e-9)
    assert torch.allclose(cam.mean(dim=(1, 2)), logits, rtol=1e-9)


def test_gradcampp_weighs_channels_as_its_closed_form_says():
    network, images = Pooled(), noise(1, 3, 6, 7)
    (found,) = attribute(network, images, "gradcampp", target=0).values()
    features, slope = network.features(images)[0].detach(), network.head.weight[0].detach() / 42
    mass = features.sum(dim=(1, 2))
    weights = 42 * slope.relu() / (2 + slope * mass)
    assert torch.allclose(found[0], torch.einsum("k,khw->hw", weights, features).relu(), rtol=1e-9)


def test_cam_says_where_it_is_not_defined():
    with pytest.raises(SaliencyError, match="CAM is not defined at layer 'front'"):
        attribute(Trunk(), noise(1, 2, 5, 6), "cam:layers=front")


def test_eigencams_sign_is_the_classes():
    """Negating the features and the weights behind them is the same network: the map must not flip."""
    images = noise(1, 3, 6, 7)
    network, negated = Pooled(), Pooled()
    with torch.no_grad():
        negated.head.weight.neg_()
    up, down = (attribute(n, images, "eigencam", target=0)["eigencam"] for n in (network, negated))
    assert torch.allclose(up, -down)
    assert torch.allclose(
        up.abs(), fast("eigencam", LayerRecord(network.features(images).detach(), noise(1, 7, 6, 7))).abs()
    )


def test_integrated_gradcam_has_its_closed_form_on_a_linear_network():
    """The gain grows in proportion to the way gone, so its mean is half of it, by every rule."""
    network, images = Pooled(), noise(1, 3, 6, 7)
    network.features[1] = nn.Identity()
    names = ["integratedgradcam:steps=1", "integratedgradcam:steps=7,path=gausslegendre"]
    one, many = attribute(network, images, names, target=1).values()
    features = network.features(images) - network.features(torch.zeros_like(images))
    expected = torch.einsum("k,nkhw->nhw", network.head.weight[1] / 42, features).relu().detach()
    assert torch.allclose(one, expected / 2, rtol=1e-9)
    assert torch.allclose(many, expected / 2, rtol=1e-9)


def test_smooth_gradcampp_without_noise_is_gradcampp():
    images = noise(2, 2, 5, 6)
    names = ["gradcampp:layers=front", "smoothgradcampp:layers=front,spread=0.0,samples=3"]
    plain, smooth = attribute(Trunk(), images, names, target=1).values()
    assert torch.allclose(plain, smooth, rtol=1e-9)


def test_smooth_gradcampp_averages_the_powers():
    images = noise(1, 2, 5, 6)
    (found,) = attribute(Trunk(), images, "smoothgradcampp:layers=front,samples=3,seed=5", target=1).values()
    output = ForwardPass(Trunk(), images, ["front"]).backward(torch.tensor([1]))[0]["front"].output
    source, span = torch.Generator().manual_seed(5), images.max() - images.min()
    grads = []
    for _ in range(3):
        # the stream of a float32 generator, as the copies are drawn
        copy = images + 0.15 * span * torch.randn(1, 2, 5, 6, generator=source)[0].to(images)
        grads.append(ForwardPass(Trunk(), copy, ["front"]).backward(torch.tensor([1]))[0]["front"].grad)
    first, second, third = (sum(grad**power for grad in grads) / 3 for power in (1, 2, 3))
    alpha = second / (2 * second + third * output.sum(dim=(2, 3), keepdim=True))
    weights = (alpha * first.relu()).sum(dim=(2, 3), keepdim=True)
    assert torch.allclose(found, (weights * output).sum(dim=1).relu(), rtol=1e-6)


def test_metasaliency_takes_the_step_that_sgd_takes():
    image, network = noise(1, 2, 5, 6), Trunk()
    (found,) = attribute(
        network, image, "metasaliency(normgrad_scaling:layers=front):rate=0.3", target=2
    ).values()
    learnt = Trunk()
    nn.functional.cross_entropy(learnt(image), torch.tensor([2])).backward()
    for weight in learnt.parameters():
        weight.data -= 0.3 * weight.grad
    (expected,) = attribute(learnt, image, "normgrad_scaling:layers=front", target=2).values()
    assert torch.allclose(found, expected, rtol=1e-9)
    (plain,) = attribute(network, image, "normgrad_scaling:layers=front", target=2).values()
    assert not torch.allclose(found, plain, rtol=1e-3)
