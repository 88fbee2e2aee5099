"""The perturbation methods through the engine: loops over whole networks, and peers where they are right."""

import numpy as np
import pytest
import pytorch_grad_cam
import torch
import torchcam.methods
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from tests.reference import perturbation as reference
from tests.saliency.small import Convolutional, build, images
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.saliency.cams import pooledhead
from xiqa.saliency.engine import attribute
from xiqa.saliency.probe import class_score

SEED = 3
TARGET = torch.tensor([2, 0])


def one(network, x, method, target=TARGET, **more):
    (maps,) = attribute(network, x, method, target=target, **more).values()
    return maps


def features(network, x):
    """The layer's output for a batch."""
    with torch.no_grad():
        return network.layer(network.conv(network.first(network.stem(x))))


def rest(network):
    """What is behind the layer."""
    return lambda output: network.head(output.mean(dim=(2, 3))).detach()


@pytest.fixture
def case():
    """A network whose layer has no constant channel on two images."""
    network, x = build(Convolutional, seed=SEED), images()
    assert (features(network, x).std(dim=(2, 3)) > 0).all()
    return network, x


@pytest.mark.parametrize(("variant", "output"), [("paper", "logit"), ("authors", "probability")])
def test_scorecam_agrees_with_the_loop_over_the_whole_network(case, variant, output):
    network, x = case
    found = one(network, x, f"scorecam:variant={variant},layers=layer")
    for place, target in enumerate(TARGET):
        score = lambda copies, t=int(target): class_score(network(copies).detach(), t, output=output)  # noqa: E731
        expected = reference.scorecam(
            score, x[place], features(network, x)[place], softmax=variant == "paper"
        )
        np.testing.assert_allclose(found[place], expected, atol=1e-12)


def test_scorecam_agrees_with_its_peers_where_masks_need_no_enlarging(case):
    # on smaller layers the peers differ: one enlarges with aligned corners, one stretches before enlarging
    network, x = case
    found = one(network, x, "scorecam:layers=layer")
    with torchcam.methods.ScoreCAM(network, "layer") as witness:
        network(x)
        (theirs,) = witness(TARGET.tolist(), normalized=False)
    torch.testing.assert_close(found, theirs.detach(), rtol=1e-6, atol=1e-8)
    classes = [ClassifierOutputTarget(int(target)) for target in TARGET]
    with pytorch_grad_cam.ScoreCAM(build(Convolutional, seed=SEED).float(), []) as cam:
        weights = cam.get_cam_weights(x.float(), None, classes, features(network, x).float().numpy(), None)
    theirs = np.maximum(np.einsum("nk,nkhw->nhw", weights, features(network, x)), 0)
    np.testing.assert_allclose(found, theirs, rtol=1e-4, atol=1e-5)


def test_sscam_and_iscam_agree_with_the_formula(case):
    network, x = case
    maps = features(network, x)[0]
    score = lambda copies: network(copies).detach()[:, 2]  # noqa: E731
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    masks = (maps - low) / (high - low)
    source = torch.Generator().manual_seed(5)
    noisy = []
    for mask in masks:
        draws = [torch.randn(2, 6, 9, generator=source) for _ in range(3)]
        noisy.append(np.mean([float(score((x[0] * mask + 0.5 * draw.double())[None])) for draw in draws]))
    faded = [np.mean([float(score((x[0] * mask * i / 4)[None])) for i in (1, 2, 3, 4)]) for mask in masks]
    for text, scores in (("sscam:where=input,std=0.5,samples=3,seed=5", noisy), ("iscam:steps=4", faded)):
        weights = torch.tensor(np.array(scores)).softmax(0)
        expected = (weights[:, None, None] * maps).sum(0).relu()
        torch.testing.assert_close(one(network, x, f"{text},layers=layer")[0], expected)


def test_iscam_of_a_peer_leaves_the_path_between_nothing_and_the_masked_image(case):
    """Its factors add up to (n + 1) / 2; on a network linear in the brightness that is a closed form."""
    network, x = case
    for name, value in network.named_parameters():
        if name.endswith("bias"):
            value.data.zero_()  # relu without biases: f(c x) = c f(x)
    whole = one(network, x, "scorecam:layers=layer,channels=5")
    mine = one(network, x, "iscam:layers=layer,steps=4")
    with torchcam.methods.ISCAM(network, "layer", num_samples=4) as witness:
        network(x)
        (theirs,) = witness(TARGET.tolist(), normalized=False)
    maps, score = features(network, x), lambda copies: network(copies).detach()
    masks = (maps - maps.amin((2, 3), True)) / (maps.amax((2, 3), True) - maps.amin((2, 3), True))
    kept = torch.stack([score(x * masks[:, k : k + 1])[[0, 1], TARGET] for k in range(5)], dim=1)
    for factor, result in ((1.0, whole), ((1 + 2 + 3 + 4) / 16, mine), ((1 + 3 + 6 + 10) / 16, theirs)):
        expected = torch.einsum("nk,nkhw->nhw", (factor * kept).softmax(1), maps).relu()
        torch.testing.assert_close(result.detach(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("closed_form", ["true", "false"])
@pytest.mark.parametrize("output", ["logit", "probability"])
def test_ablationcam_agrees_with_the_loop_and_with_its_peer(closed_form, output):
    network, x = build(Convolutional), images()
    found = one(network, x, f"ablationcam:output={output},closed_form={closed_form},layers=layer")
    for place, target in enumerate(TARGET):
        score = lambda z, t=int(target): class_score(z, t, output=output)  # noqa: E731
        expected = reference.ablation(rest(network), features(network, x)[place : place + 1], score)
        np.testing.assert_allclose(found[place], expected, atol=1e-12)


def ablation_of_a_peer(network, x, target, batch_size):
    with pytorch_grad_cam.AblationCAM(network, [network.layer], batch_size=batch_size) as cam:
        cam(x, [ClassifierOutputTarget(target)])
        layer = features(network, x)
        return cam.get_cam_weights(x, network.layer, [ClassifierOutputTarget(target)], layer.numpy(), None)[0]


def test_ablation_does_not_depend_on_how_many_channels_pass_at_once_as_it_does_in_a_peer():
    relu, smooth = (build(Convolutional, activation=kind).float() for kind in (nn.ReLU, nn.SiLU))
    x = images(1).float()
    for network in (relu, smooth):
        layer = features(network, x)
        whole = float(network(x)[0, 1].detach())
        expected = []
        for k in range(5):
            without = layer.clone()
            without[:, k] = 0
            expected.append((whole - float(rest(network)(without)[0, 1])) / whole)
        peer = [ablation_of_a_peer(network, x, 1, size) for size in (1, 3)]
        mine = one(network, x, "ablationcam:layers=layer,closed_form=false", target=1)
        weights = torch.tensor(expected) * (1 if whole > 0 else -1)
        torch.testing.assert_close(mine[0], torch.einsum("k,khw->hw", weights, layer[0]).relu())
        if network is relu:  # the layer's minimum is 0: right
            np.testing.assert_allclose(peer, [expected, expected], rtol=1e-3, atol=1e-5)
        else:  # the minimum sinks with each ablated channel
            assert abs(peer[0] - np.array(expected)).max() > 1e3
            assert abs(peer[0] - peer[1]).max() > 1e3


@pytest.mark.parametrize("kernel", ["1x1", "neighbour", "centre"])
@pytest.mark.parametrize("closed_form", ["true", "false"])
@pytest.mark.parametrize("output", ["logit", "probability"])
def test_reciprocam_agrees_with_the_loop(case, kernel, closed_form, output):
    network, x = case
    text = f"reciprocam:kernel={kernel},output={output},closed_form={closed_form},layers=layer"
    found = one(network, x, text)
    for place, target in enumerate(TARGET):
        score = lambda z, t=int(target): class_score(z, t, output=output)  # noqa: E731
        expected = reference.recipro(
            rest(network), features(network, x)[place : place + 1], score, kernel=kernel
        )
        np.testing.assert_allclose(found[place], expected, atol=1e-12)


def test_single_places_give_cam_up_to_scale_and_offset(case):
    network, x = case
    found = one(network, x, "reciprocam:output=logit,layers=layer")
    cam = torch.einsum("nk,nkhw->nhw", network.head.weight[TARGET].detach(), features(network, x))
    stretch = lambda m: (m - m.amin((1, 2), True)) / (m.amax((1, 2), True) - m.amin((1, 2), True))  # noqa: E731
    torch.testing.assert_close(stretch(found), stretch(cam))


def test_a_closed_form_follows_the_weights_and_is_dropped_when_it_no_longer_holds(monkeypatch):
    network, x = build(Convolutional), images(1)
    text = "ablationcam:layers=layer"
    tails = []
    monkeypatch.setattr(pooledhead, "Tail", lambda *args: tails.append(args) or pooledhead_tail(*args))
    pooledhead_tail = __import__("xiqa.saliency.tail", fromlist=["Tail"]).Tail
    first = one(network, x, text, target=1)
    assert len(tails) == 1
    torch.testing.assert_close(one(network, x, text, target=1), first)
    assert len(tails) == 1  # known: no further pass
    network.head.weight.data.mul_(-2)
    network.head.bias.data.zero_()
    changed = one(network, x, text, target=1)
    assert len(tails) == 1
    torch.testing.assert_close(changed, one(network, x, f"{text},closed_form=false", target=1))
    network.layer.register_forward_hook(lambda m, i, o: o)  # a hook on the way does no harm
    network.head.register_forward_hook(lambda m, i, o: o.tanh())
    bent = one(network, x, text, target=1)
    torch.testing.assert_close(bent, one(network, x, f"{text},closed_form=false", target=1))


class TestOnTwoLabelsInOneImage:
    """A multi-label head with overlapping targets: each label's own sigmoid counts, not a softmax."""

    @pytest.mark.parametrize(
        "method",
        ["occlusion:window=3,stride=3", "rise:masks=20,grid=3", "reciprocam:layers=layer",
         "lime:samples=60,count=6,regions=grid", "kernelshap:count=6,regions=grid"],
    )  # fmt: skip
    def test_probabilities_are_each_labels_own(self, method):
        network, x = build(Convolutional), images()
        alone = build(Convolutional, classes=1)
        alone.load_state_dict(
            {
                **network.state_dict(),
                "head.weight": network.head.weight[1:2],
                "head.bias": network.head.bias[1:2],
            }
        )
        labels = one(network, x, method, target=1, multilabel=True)
        torch.testing.assert_close(labels, one(alone, x, method, target=1))
        assert (labels - one(network, x, method, target=1)).abs().max() > 1e-4


@pytest.mark.parametrize(
    "text",
    ["scorecam:variant=code", "sscam:where=output", "occlusion:window=-1", "occlusion:output=odds",
     "reciprocam:kernel=3x3", "lime:regions=hexagon", "rise:baseline=noise"],
)  # fmt: skip
def test_a_wrong_parameter_is_told(case, text):
    network, x = case
    with pytest.raises(SaliencyError):
        one(network, x, text)


def test_methods_that_only_score_need_no_torch_network(case):
    network, x = case
    probe = lambda copies: network(copies).detach()  # noqa: E731
    for text in ("occlusion:window=3", "rise:masks=9", "lime:samples=20", "kernelshap:samples=20"):
        torch.testing.assert_close(one(probe, x, text), one(network, x, text))
    with pytest.raises(SaliencyError, match="torch network"):
        one(probe, x, "reciprocam:layers=layer")
