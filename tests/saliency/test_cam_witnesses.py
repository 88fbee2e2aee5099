"""captum, grad-cam and torchcam as witnesses of the CAM family: equal where they are right.

Where one of them is wrong, the same test shows it by a loop or a closed form. All networks here have layers
of the image's size, so that no library's way of enlarging matters.
"""

import weakref

import captum.attr
import numpy as np
import pytest
import pytorch_grad_cam
import torch
import torchcam.methods
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from tests.reference import cams as loops
from tests.saliency.small import Convolutional, build, images
from torch import nn

from xiqa.saliency.engine import attribute

TARGET = torch.tensor([2, 0, 1])


class Deep(Convolutional):
    """Another convolution behind the layer, so that the gradient differs from place to place."""

    def __init__(self, **params):
        super().__init__(**params)
        self.behind = nn.Conv2d(5, 5, 3, padding=1)
        self.last = nn.ReLU()

    def forward(self, x):
        features = self.layer(self.conv(self.first(self.stem(x))))
        return self.head(self.last(self.behind(features)).mean(dim=(2, 3)))


pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor 0", "ignore:Setting backward hooks")


@pytest.fixture
def case():
    return build(Deep, seed=3), images(3)


def ours(network, x, method, target=TARGET):
    (maps,) = attribute(network, x, f"{method}layers=layer", target=target).values()
    return maps


def by_torchcam(kind, network, x, target=TARGET, **params):
    with kind(network, "layer", **params) as witness:
        scores = network(x)
        (maps,) = witness(target.tolist(), scores, normalized=False)
    return maps.detach()


def by_gradcam(kind, network, x, target=TARGET, **params):
    """The raw map, before it is cut at 0 and stretched."""
    with kind(model=network, target_layers=[network.layer], **params) as cam:
        classes = [ClassifierOutputTarget(int(one)) for one in target]
        cam(x, classes)
        seen = cam.activations_and_grads
        arrays = [[one.numpy() for one in kept] for kept in (seen.activations, seen.gradients)]
        found = cam.get_cam_image(x, network.layer, classes, arrays[0][0], (arrays[1] or [None])[0], False)
    return torch.as_tensor(np.asarray(found))


def features_and_gradients(network, x, target=TARGET):
    kept = []
    handle = network.layer.register_forward_hook(lambda *seen: kept.append(seen[2]))
    score = network(x).gather(1, target[:, None]).sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    return kept[0].detach(), gradient


def by_loops(loop, network, x, **params):
    pairs = zip(*(each.numpy() for each in features_and_gradients(network, x)), strict=True)
    return torch.as_tensor(np.stack([loop(a, g, **params) for a, g in pairs]))


AGREE = {
    "gradcam:": (torchcam.methods.GradCAM, pytorch_grad_cam.GradCAM, loops.gradcam),
    "xgradcam:": (torchcam.methods.XGradCAM, pytorch_grad_cam.XGradCAM, loops.xgradcam),
    "layercam:": (torchcam.methods.LayerCAM, pytorch_grad_cam.LayerCAM, loops.layercam),
    "hirescam:relu=true,": (None, pytorch_grad_cam.HiResCAM, lambda a, g: loops.hirescam(a, g, relu=True)),
    "gradcampp:": (None, pytorch_grad_cam.GradCAMPlusPlus, loops.gradcampp),
}


@pytest.mark.parametrize("method", AGREE)
def test_agree_with_torchcam_and_grad_cam(case, method):
    network, x = case
    torch_cam, grad_cam, loop = AGREE[method]
    found = ours(network, x, method)
    torch.testing.assert_close(found, by_loops(loop, network, x), rtol=1e-9, atol=1e-12)
    # they add 1e-8 to 1e-6 to denominators, which matters where squared gradients are as small
    with torch.no_grad():
        network.head.weight.mul_(1e3 if method == "gradcampp:" else 1)
    found = ours(network, x, method)
    torch.testing.assert_close(found, by_gradcam(grad_cam, network, x).relu(), rtol=1e-3, atol=1e-5)
    if torch_cam is not None:
        torch.testing.assert_close(found, by_torchcam(torch_cam, network, x).relu(), rtol=1e-4, atol=1e-7)
    assert (found.amax((1, 2)) > 1e-3).any()


def test_gradcam_agrees_with_captum(case):
    network, x = case
    theirs = captum.attr.LayerGradCam(network, network.layer).attribute(x, TARGET, relu_attributions=True)
    torch.testing.assert_close(ours(network, x, "gradcam:"), theirs[:, 0].detach())


def test_cam_agrees_with_torchcam():
    network, x = build(Convolutional, seed=3), images(3)
    found = ours(network, x, "cam:")
    theirs = by_torchcam(torchcam.methods.CAM, network, x, fc_layer="head")
    torch.testing.assert_close(found, theirs.relu() if (found >= 0).all() else theirs)


def test_guided_gradcam_agrees_with_captum(case):
    network, x = case
    theirs = captum.attr.GuidedGradCam(network, network.layer).attribute(x, TARGET)
    torch.testing.assert_close(ours(network, x, "guidedgradcam:"), theirs.detach().sum(dim=1))


def test_torchcams_gradcampp_never_applies_its_denominator(case):
    """It divides a copy: what it gives is the sum of g^2 relu(g) A, which no equation asks for."""
    network, x = case
    features, gradient = features_and_gradients(network, x)
    weights = (gradient.square() * gradient.relu()).sum(dim=(2, 3), keepdim=True)
    theirs = by_torchcam(torchcam.methods.GradCAMpp, network, x).relu()
    torch.testing.assert_close(theirs, (weights * features).sum(dim=1).relu())
    right = by_loops(loops.gradcampp, network, x)
    assert not torch.allclose(theirs / theirs.amax(), right / right.amax(), atol=1e-2)
    torch.testing.assert_close(ours(network, x, "gradcampp:"), right)


def test_torchcams_smooth_gradcampp_shows_its_last_draw(case):
    """It multiplies the mean of g^2 by one draw's gradient, and weighs that draw's features, not the image's.

    Its denominator is not that of Grad-CAM++ either: it adds up A g^3 over all places, where the third
    derivative belongs to the one place. Behind plain pooling, where g is the same everywhere, and without
    noise, it is right.
    """
    pooled, x = build(Convolutional, seed=3), images(3)
    with torch.no_grad():
        pooled.head.weight.mul_(1e3)
    still = by_torchcam(torchcam.methods.SmoothGradCAMpp, pooled, x, num_samples=3, std=1e-9).relu()
    torch.testing.assert_close(still, by_loops(loops.gradcampp, pooled, x), rtol=1e-4, atol=1e-6)
    found = ours(pooled, x, "smoothgradcampp:samples=3,spread=0,")
    torch.testing.assert_close(found, still, rtol=1e-4, atol=1e-6)
    network, x = case
    last = []
    handle = network.layer.register_forward_hook(lambda *seen: last.append(seen[2]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = by_torchcam(torchcam.methods.SmoothGradCAMpp, network, x, num_samples=4, std=0.8)
    handle.remove()
    first, *draws = last
    gradients = []
    for one in draws:  # rebuild each draw's gradient from what the layer gave
        leaf = one.detach().requires_grad_()
        score = network.head(network.last(network.behind(leaf)).mean(dim=(2, 3)))
        gradients.append(torch.autograd.grad(score.gather(1, TARGET[:, None]).sum(), leaf)[0])
    squares, cubes = (torch.stack([g**power for g in gradients]).mean(0) for power in (2, 3))
    mass = (cubes * first).sum(dim=(2, 3), keepdim=True)
    alpha = squares / (2 * squares + mass + 1e-8)
    weights = (alpha * gradients[-1].relu()).sum(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(theirs.relu(), (weights * draws[-1]).sum(dim=1).relu().detach())


def test_grad_cams_one_target_for_a_batch_of_three_explains_one(case):
    """It pairs targets with images and drops the rest; ours explains the one class on all of them."""
    network, x = case
    with pytorch_grad_cam.GradCAM(model=network, target_layers=[network.layer]) as cam:
        theirs = cam(x, [ClassifierOutputTarget(1)])
        alone = [cam(image[None], [ClassifierOutputTarget(1)])[0] for image in x]
    assert not theirs[1:].any()
    assert all(one.any() for one in alone)
    found = ours(network, x, "gradcam:", target=1)
    for image, saliency in zip(x, found, strict=True):
        torch.testing.assert_close(saliency, ours(network, image[None], "gradcam:", target=1)[0])
    stretched = found / found.amax((1, 2), keepdim=True)
    np.testing.assert_allclose(stretched[0], alone[0], atol=1e-5)
    assert (found.amax((1, 2)) > 0).all()


def test_grad_cams_eigencam_has_the_sign_of_chance(case):
    """The order of the channels says nothing; theirs turns the map over, ours follows the class."""
    network, x = case
    features, _ = features_and_gradients(network, x)
    signs, first = set(), None
    for seed in range(20):
        order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
        theirs = get_2d_projection(features[:1, order].numpy())[0]
        first = theirs if first is None else first
        np.testing.assert_allclose(np.abs(theirs), np.abs(first), atol=1e-5)
        signs.add(float(np.sign((theirs * first).sum())))
        with torch.no_grad():
            other = build(Deep, seed=3)
            other.conv.weight.copy_(network.conv.weight[order])
            other.conv.bias.copy_(network.conv.bias[order])
            other.behind.weight.copy_(network.behind.weight[:, order])
        torch.testing.assert_close(ours(other, x, "eigencam:"), ours(network, x, "eigencam:"))
    assert signs == {1.0, -1.0}
    torch.testing.assert_close(
        ours(network, x, "eigencam:"), by_loops(loops.eigencam, network, x), rtol=1e-6, atol=1e-8
    )


def test_grad_cams_fem_weighs_by_how_many_are_above_not_by_the_mean(case):
    """The source adds up binary maps, each with the channel's mean."""
    network, x = case
    features, _ = features_and_gradients(network, x)
    theirs = by_gradcam(pytorch_grad_cam.FEM, network, x, k=1)
    mean, spread = (f(features, dim=(2, 3), keepdim=True) for f in (torch.mean, _spread))
    above = (features > mean + spread).double()
    torch.testing.assert_close(theirs, (above.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1))
    found = ours(network, x, "fem:k=1,")
    torch.testing.assert_close(found, (above * mean).sum(dim=1))
    torch.testing.assert_close(found, by_loops(loops.fem, network, x))


def _spread(features, dim, keepdim):
    return features.std(dim=dim, keepdim=keepdim, correction=0)


def test_grad_cams_score_cam_keeps_what_every_masked_batch_gave(case):
    network, x = case
    alive, most = [], []

    def watch(*seen):
        alive.append(weakref.ref(seen[2]))
        most.append(sum(one() is not None for one in alive))

    handle = network.layer.register_forward_hook(watch)
    with pytorch_grad_cam.ScoreCAM(network, [network.layer]) as cam:
        cam.batch_size = 1
        cam(x[:1], [ClassifierOutputTarget(1)])
        assert len(cam.activations_and_grads.activations) == 1 + 5  # the image, and each channel's mask
    alive.clear()
    most.clear()
    ours(network, x[:1], "scorecam:", target=1)
    handle.remove()
    assert most
    assert max(most) <= 2
    assert not any(one() is not None for one in alive)


@pytest.mark.parametrize("activation", [nn.SiLU, nn.GELU])
def test_captums_guided_backpropagation_is_the_gradient_where_there_is_no_relu(activation):
    network, x = build(Convolutional, seed=3, activation=activation), images(3)
    theirs = captum.attr.GuidedBackprop(network).attribute(x, TARGET)
    plain = captum.attr.Saliency(network).attribute(x, TARGET, abs=False)
    assert torch.equal(theirs, plain)
    guided, gradient = (
        attribute(network, x, f"{name}:norm=signed", target=TARGET)[f"{name}:norm=signed"]
        for name in ("guidedbackprop", "gradient")
    )
    torch.testing.assert_close(gradient, plain.sum(dim=1).detach())
    assert (guided - gradient).abs().max() > 0.1 * gradient.abs().max()
