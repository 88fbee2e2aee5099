"""Networks by name, ImageNet weights from packages, and the evidence network's arithmetic."""

import math

import pytest
import torch
from torch import nn

from xiqa.errors import ModelError
from xiqa.models.backbones import Architecture, build_network
from xiqa.models.heads.evidence import EvidenceNet, SmoothMax
from xiqa.models.pretrained import load_imagenet, state_in_order


@pytest.mark.parametrize(
    ("library", "backbone", "classes"),
    [
        ("timm", "resnet18", 2),
        ("timm", "tf_efficientnet_lite0", 1),
        ("torchvision", "resnet18", 3),
        ("torchvision", "mobilenet_v3_small", 2),
    ],
)
def test_networks_by_name_have_the_wanted_outputs(library, backbone, classes):
    network = build_network(Architecture(library=library, backbone=backbone, classes=classes))
    assert not network.training
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 64, 96)).shape == (2, classes)


def test_the_output_stride_is_kept():
    network = build_network(Architecture(backbone="tf_efficientnet_lite0", output_stride=16))
    with torch.no_grad():
        assert network.forward_features(torch.zeros(1, 3, 64, 64)).shape[-2:] == (4, 4)


@pytest.mark.parametrize(
    "entries",
    [
        {"backbone": "no_such_network"},
        {"library": "torchvision", "backbone": "no_such_network"},
        {"library": "torchvision", "backbone": "resnet18", "head": "evidence"},
        {"backbone": "resnet18", "head": "evidence", "classes": 3},
    ],
)
def test_what_cannot_be_built_is_told(entries):
    with pytest.raises(ModelError):
        build_network(Architecture(**entries))


def test_packaged_imagenet_weights_tell_a_cat_from_a_cup():
    data = pytest.importorskip("skimage.data")
    timm = pytest.importorskip("timm")
    network = timm.create_model("tf_efficientnet_lite0", num_classes=1000).eval()
    load_imagenet("tf_efficientnet_lite0", network)
    cats, cups = {281, 282, 283, 284, 285}, {504, 967, 968}
    for picture, wanted in ((data.chelsea(), cats), (data.coffee(), cups)):
        side = min(picture.shape[:2])
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        square = torch.tensor(picture[top : top + side, left : left + side]).permute(2, 0, 1)[None] / 255
        images = nn.functional.interpolate(square, (224, 224), mode="bilinear", antialias=True)
        with torch.no_grad():
            assert int(network((images - 0.5) / 0.5).argmax()) in wanted


def test_the_evidence_body_and_the_headed_network_start_from_the_same_weights():
    torch.manual_seed(0)
    headed = build_network(Architecture(), weights="imagenet")
    evidence = build_network(Architecture(head="evidence", width=8), weights="imagenet")
    for name in ("conv_stem.weight", "blocks.3.1.bn2.running_var", "blocks.6.0.conv_pwl.weight"):
        assert torch.equal(headed.state_dict()[name], evidence.body.state_dict()[name])


def test_a_state_of_another_network_is_refused():
    small, large = nn.Linear(2, 2), nn.Linear(3, 2)
    with pytest.raises(ModelError, match="weight"):
        state_in_order(large.state_dict(), small)
    with pytest.raises(ModelError, match="2 tensors"):
        state_in_order({"a": torch.zeros(2, 2)}, small)
    with pytest.raises(ModelError, match="resnet18"):
        load_imagenet("resnet18", small)


def test_the_smooth_maximum_in_closed_form_and_between_mean_and_maximum():
    evidence = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    by_hand = math.log(sum(math.exp(2 * value) for value in (1, 2, 3, 4)) / 4) / 2
    assert SmoothMax(2.0)(evidence).item() == pytest.approx(by_hand)
    assert SmoothMax(1e-4)(evidence).item() == pytest.approx(2.5, abs=1e-3)
    assert SmoothMax(100.0)(evidence).item() == pytest.approx(4.0, abs=0.02)


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (70, 90)])
def test_the_evidence_network_decides_by_its_map(size):
    torch.manual_seed(0)
    network = build_network(Architecture(head="evidence", width=8))
    assert isinstance(network, EvidenceNet)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        evidence = network.evidence_map(images)
        logits = network(images)
    assert evidence.shape == (2, 1, -(-size[0] // 8), -(-size[1] // 8))
    z = network.scale(SmoothMax(2.0)(evidence))[:, 0]
    torch.testing.assert_close(logits, torch.stack((-z / 2, z / 2), dim=1))
    torch.testing.assert_close(logits.softmax(1)[:, 1], z.sigmoid())


def test_a_shift_moves_the_margin_by_its_amount():
    torch.manual_seed(0)
    network = build_network(Architecture(head="evidence", width=8))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = network(images)
        network.shift(1.5)
        after = network(images)
    torch.testing.assert_close(after - before, torch.tensor([[-0.75, 0.75]]))
