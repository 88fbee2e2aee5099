"""Maps of volumes against plain loops, and what their values must sum to."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.reference import cams as reference
from tests.reference.perturbation import rise as slow_rise
from torch import nn

from xiqa.models.layers import TargetLayers, target_layers
from xiqa.saliency.cams.reciprocam import place_masks
from xiqa.saliency.cams.scorecam import kept_scores
from xiqa.saliency.capture import LayerRecord
from xiqa.saliency.engine import attribute
from xiqa.saliency.maps import upsample
from xiqa.saliency.perturbation.occlusion import occlude
from xiqa.saliency.perturbation.rise import RiseMasks, weighted_masks
from xiqa.saliency.registry import method_info

SHAPE = (3, 4, 5)  # slices, rows, columns
PLACEWISE = [
    *("normgrad_bias", "normgrad_scaling", "normgrad_conv1x1", "gradcam", "gradcampp", "xgradcam"),
    *("hirescam", "layercam", "fem", "eigencam"),
]


@pytest.fixture
def record():
    source = torch.Generator().manual_seed(4)
    output = torch.randn(2, 3, *SHAPE, generator=source, dtype=torch.float64)
    output[:, 0] += 0.4  # no channel's sum near 0
    return LayerRecord(output, torch.randn(2, 3, *SHAPE, generator=source, dtype=torch.float64))


@pytest.mark.parametrize("name", PLACEWISE)
def test_a_map_of_a_volume_is_the_loops(record, name):
    """Where a place stands among others does not matter to these: rows of all slices in a row."""
    found = method_info(name).function(record)
    for sample in range(2):
        a, g = (
            values[sample].reshape(3, SHAPE[0] * SHAPE[1], SHAPE[2]).numpy()
            for values in (record.output, record.grad)
        )
        expected = getattr(reference, name)(a, g).reshape(SHAPE)
        assert expected.std() > 0
        np.testing.assert_allclose(found[sample].numpy(), expected, rtol=1e-6, atol=1e-9)


def neighbours(values, place):
    """The 3x3x3 neighbourhood of all channels, 0 outside."""
    found = []
    for channel in values:
        for step in itertools.product((-1, 0, 1), repeat=3):
            at = tuple(p + s for p, s in zip(place, step, strict=True))
            inside = all(0 <= p < side for p, side in zip(at, SHAPE, strict=True))
            found.append(float(channel[at]) if inside else 0.0)
    return found


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("norm", ["l2", "l1", "max"])
def test_the_virtual_convolution_of_a_volume_is_3x3x3(record, norm, positive):
    found = method_info("normgrad_conv3x3").function(record, norm=norm, positive=positive)[1].numpy()
    a, g = record.output[1].numpy(), record.grad[1].numpy()
    for place in np.ndindex(*SHAPE):
        around = neighbours(a, place)
        pairs = [gk[place] * value for gk in g for value in around]
        assert found[place] == pytest.approx(reference.size(pairs, norm, positive), rel=1e-9)


def brightness(copies):
    """A score that knows where it looks."""
    where = torch.linspace(0, 1, copies[0].numel(), dtype=copies.dtype).reshape(copies.shape[1:])
    return torch.sin(3 * (copies * where).flatten(1).sum(dim=1))


def test_occlusion_of_a_volume_is_the_loops():
    image = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hidden = torch.full_like(image, 0.3)
    found = occlude(brightness, image, hidden, window=(2, 3, 2), stride=(1, 2, 2))
    total, cover = np.zeros(image.shape[1:]), np.zeros(image.shape[1:])
    for z, y, x in itertools.product((0, 1, 2), (0, 2), (0, 2, 4)):
        copy = image.clone()
        copy[:, z : z + 2, y : y + 3, x : x + 2] = 0.3
        drop = float(brightness(image[None]) - brightness(copy[None]))
        for at in itertools.product(range(z, z + 2), range(y, y + 3), range(x, x + 2)):
            total[at] += drop
            cover[at] += 1
    np.testing.assert_allclose(found.numpy(), total / cover, atol=1e-12)


def test_masks_of_a_volume_are_crops_of_a_trilinear_grid():
    masks = RiseMasks(30, (5, 7, 9), grid=3, keep=0.4, seed=2)
    whole = masks(slice(0, 30))
    assert whole.shape == (30, 5, 7, 9)
    large = F.interpolate(
        torch.from_numpy(masks.patterns)[:, None], (8, 12, 12), mode="trilinear", align_corners=False
    )[:, 0].numpy()
    for mask, pattern, (z, y, x) in zip(whole, large, masks.shifts, strict=True):
        np.testing.assert_allclose(mask, pattern[z : z + 5, y : y + 7, x : x + 9], atol=1e-6)
    assert len({tuple(shift) for shift in masks.shifts}) > 10
    image = torch.randn(2, 5, 7, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    hidden = torch.zeros_like(image)
    found = weighted_masks(brightness, image, hidden, masks, 30, keep=0.4)
    expected = slow_rise(brightness, image, hidden, torch.from_numpy(whole), 0.4)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_the_masks_of_places_of_a_volume():
    masks = place_masks((2, 3, 2), "neighbour")
    for number, at in enumerate(np.ndindex(2, 3, 2)):
        for other in np.ndindex(2, 3, 2):
            away = [abs(p - q) for p, q in zip(at, other, strict=True)]
            expected = 0.0 if max(away) > 1 else math.prod(0.25 if step else 0.5 for step in away)
            assert masks[number][other] == pytest.approx(expected)
    np.testing.assert_array_equal(place_masks((2, 3, 2), "1x1").reshape(12, 12), np.eye(12))


def test_channels_mask_a_volume_trilinearly():
    source = torch.Generator().manual_seed(5)
    image, channels = (
        torch.randn(s, generator=source, dtype=torch.float64) for s in ((2, 4, 6, 5), (3, 2, 3, 3))
    )
    found = kept_scores(brightness, image, channels)
    for channel, value in zip(channels, found, strict=True):
        mask = F.interpolate(channel[None, None], (4, 6, 5), mode="trilinear", align_corners=False)[0, 0]
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        assert float(value) == pytest.approx(float(brightness((image * mask)[None])), abs=1e-9)


def test_a_map_of_a_volume_is_enlarged_as_pytorch_does_it():
    values = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    expected = F.interpolate(
        torch.from_numpy(values)[None, None], (7, 9, 5), mode="trilinear", align_corners=False
    )[0, 0]
    np.testing.assert_allclose(upsample(values, (7, 9, 5)), expected.numpy(), atol=1e-5)


# --- what values sum to


class Convolutions(nn.Module):
    def __init__(self, *, bias):
        super().__init__()
        torch.manual_seed(7)
        self.body = nn.Sequential(
            nn.Conv3d(2, 4, 3, padding=1, bias=bias),
            nn.ReLU(),
            nn.MaxPool3d(2),
            nn.Conv3d(4, 5, (3, 1, 3), padding=(1, 0, 1), bias=bias),
            nn.ReLU(),
        )
        self.head = nn.Linear(5, 3, bias=bias)

    def forward(self, images):
        return self.head(self.body(images).mean(dim=(2, 3, 4)))


@pytest.fixture
def volumes():
    return torch.randn(2, 2, 4, 6, 8, generator=torch.Generator().manual_seed(8), dtype=torch.float64)


def total(network, images, text):
    found = attribute(network, images, text, target=2, layers=TargetLayers("body", ("body",)))
    return next(iter(found.values())).flatten(1).sum(dim=1)


@pytest.mark.parametrize(
    "text", ["lrp_zero", "lrp_gamma", "lrp_epsilon", "inputxgradient", "hirescam", "deeplift"]
)
def test_without_biases_the_values_sum_to_the_logit(volumes, text):
    network = Convolutions(bias=False).double().eval()
    with torch.no_grad():
        logits = network(volumes)[:, 2]
    tolerance = 1e-3 if text == "lrp_epsilon" else 1e-6
    torch.testing.assert_close(total(network, volumes, text), logits, rtol=tolerance, atol=1e-9)


def test_with_biases_the_values_sum_to_what_changed(volumes):
    network = Convolutions(bias=True).double().eval()
    with torch.no_grad():
        change = (network(volumes) - network(torch.zeros_like(volumes)))[:, 2]
        logits = network(volumes)[:, 2]
    torch.testing.assert_close(total(network, volumes, "deeplift"), change, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(
        total(network, volumes, "integratedgradients:steps=300"), change, rtol=2e-3, atol=1e-4
    )
    places = 2 * 3 * 4
    torch.testing.assert_close(
        total(network, volumes, "cam") / places, logits - network.head.bias[2].detach(), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("name", ["ablationcam", "reciprocam"])
def test_the_closed_form_of_a_volume_is_the_pass(volumes, name):
    network = Convolutions(bias=True).double().eval()
    layers = TargetLayers("body", ("body",))
    closed, passed = (
        next(iter(attribute(network, volumes, f"{name}:closed_form={how}", target=0, layers=layers).values()))
        for how in (True, False)
    )
    torch.testing.assert_close(closed, passed, rtol=1e-5, atol=1e-9)


def test_the_layers_of_an_unknown_network_of_volumes_are_found(volumes):
    network = Convolutions(bias=True).double().eval()
    layers = target_layers(network, volumes)
    assert (layers.last, set(layers.stages)) == ("body", {"body", "body.1"})
    found = next(iter(attribute(network, volumes, "normgrad_conv1x1:layers=multi", target=0).values()))
    assert found.shape == (2, 4, 6, 8)
