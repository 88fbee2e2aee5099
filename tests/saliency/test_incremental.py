"""Passing only what changes gives what passing everything gives, for whatever network and change."""

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from xiqa.metrics.faithfulness.aopc import aopc_curve
from xiqa.metrics.faithfulness.insertion_deletion import deletion_curve, insertion_curve
from xiqa.saliency.engine import attribute
from xiqa.saliency.incremental import incremental, passes
from xiqa.saliency.incremental.passes import IncrementalProbe
from xiqa.saliency.incremental.windows import ChangingMap, Sliding, Windows, differences, united
from xiqa.saliency.probe import TorchProbe

SIZE = (112, 88)


def head(channels):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3))


class Residual(nn.Module):
    """Functional and in place: additions, a strided shortcut, one activation that is used again and again."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.first, self.second = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.shortcut = nn.Conv2d(8, 12, 1, stride=2)
        self.relu, self.head = nn.ReLU(inplace=True), head(12)

    def forward(self, images):
        x = functional.max_pool2d(self.relu(self.norm(self.stem(images))), 3, stride=2, padding=1)
        y = self.first(x)
        y += x
        y = functional.relu_(y)
        return self.head(self.relu(self.second(y) + self.shortcut(y)))


class Excited(nn.Module):
    """Depthwise, with squeeze and excitation: from there on every place changes."""

    def __init__(self):
        super().__init__()
        self.depthwise = nn.Conv2d(3, 12, 5, padding=2, groups=3)
        self.gate, self.last = nn.Conv2d(12, 12, 1), nn.Conv2d(12, 8, 3, stride=2)
        self.head = head(8)

    def forward(self, images):
        x = functional.silu(self.depthwise(images), inplace=True)
        x = x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        return self.head(functional.hardswish(self.last(x)))


class Dense(nn.Module):
    """Concatenations, means, a kernel with holes, unequal sides, padding on two sides only."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, (3, 5), stride=(2, 1), padding=(0, 2))
        self.holes = nn.Conv2d(6, 4, 3, padding=3, dilation=3)
        self.act, self.scale = nn.PReLU(10), nn.Parameter(torch.rand(1, 10, 1, 1) + 0.5)
        self.head = head(10)

    def forward(self, images):
        x = self.stem(functional.pad(images, (0, 1, 2, 3)))
        x = torch.cat([x, self.holes(x).tanh_()], dim=1)
        x = functional.avg_pool2d(self.act(x) * self.scale, 3, stride=2, padding=1)
        return self.head(functional.max_pool2d(x, 2, ceil_mode=True).clamp(-2, 2) / 2)


class Unknown(nn.Module):
    """A convolution, then something that moves every place, before its input is changed in place."""

    def __init__(self):
        super().__init__()
        self.first, self.last, self.head = nn.Conv2d(3, 16, 5), nn.Conv2d(16, 6, 3, stride=2), head(6)

    def forward(self, images):
        x = self.first(images)
        moved = torch.roll(x, 7, dims=2)
        return self.head(self.last(moved + x.relu_()))


class Positions(nn.Module):
    """What is added differs from place to place."""

    def __init__(self):
        super().__init__()
        self.first, self.last, self.head = nn.Conv2d(3, 8, 5, padding=2), nn.Conv2d(8, 6, 3), head(6)
        self.positions = nn.Parameter(torch.randn(1, 8, *SIZE))

    def forward(self, images):
        return self.head(self.last(functional.gelu(self.first(images) + self.positions)))


NETWORKS = [Residual, Excited, Dense, Unknown, Positions]


def made(kind, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = kind()
        network(torch.randn(8, 3, *SIZE))  # statistics of its batch norms
    return network.eval().double()


def copies(region, places, size=SIZE, *, cumulative=True, channels=3):
    """An image, and after it one copy a place with a square of noise there."""
    noise = torch.Generator().manual_seed(1)
    images = [torch.randn(channels, *size, generator=noise, dtype=torch.double)]
    for y, x in places:
        image = images[-1 if cumulative else 0].clone()
        window = image[:, y : y + region, x : x + region]
        window.copy_(3 * torch.randn(window.shape, generator=noise, dtype=torch.double))
        images.append(image)
    return torch.stack(images)


CORNERS = [(0, 0), (SIZE[0] - 9, SIZE[1] - 9), (40, 0), (0, 33), (41, 30), (SIZE[0] - 3, 12), (38, 33)]


class Counting(TorchProbe):
    """Counts the images that pass whole."""

    whole = 0

    def __call__(self, images):
        self.whole += len(images)
        return super().__call__(images)


def same(found, expected):
    assert (expected[1:] - expected[:-1]).abs().amax(1).min() > 1e-8  # every change is seen
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", NETWORKS)
class TestLogits:
    @pytest.mark.parametrize("region", [9, 1, 20])
    def test_of_a_chain_of_changes(self, kind, region):
        network = made(kind)
        images, probe = copies(region, CORNERS * 2), Counting(network)
        found = incremental(probe)(images)
        assert probe.whole == 1  # the first, to see that the graph is the network
        same(found, TorchProbe(network)(images))

    def test_of_changes_of_one_image(self, kind):
        network = made(kind)
        image, *others = copies(9, CORNERS, cumulative=False)
        probe, images = Counting(network), torch.stack(others)
        found = incremental(probe, image)(images)
        assert probe.whole == 1
        same(found, TorchProbe(network)(images))

    def test_of_other_layouts_and_precisions(self, kind):
        network = made(kind).float().to(memory_format=torch.channels_last)
        images = copies(9, CORNERS).float().contiguous(memory_format=torch.channels_last)
        found, expected = incremental(Counting(network))(images), TorchProbe(network)(images)
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)

    def test_leave_the_network_as_it_was(self, kind):
        network = made(kind).train()
        network.head.eval()
        state = {key: value.clone() for key, value in network.state_dict().items()}
        images = copies(9, CORNERS)
        before = images.clone()
        incremental(TorchProbe(network))(images)
        assert all(torch.equal(value, network.state_dict()[key]) for key, value in state.items())
        assert [module.training for module in (network, network.head)] == [True, False]
        assert torch.equal(images, before)
        assert all(weight.grad is None and weight.requires_grad for weight in network.parameters())


LONG = [
    pytest.param(name, marks=pytest.mark.long)
    for name in ("tf_efficientnet_lite0", "densenet121", "convnext_atto", "inception_v3")
]


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", *LONG])
def test_published_networks(name, monkeypatch):
    monkeypatch.setattr(passes, "_LEAST_SHARE", 0.0)  # windows wherever they can pass, worth it or not
    size = (128, 96)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(name, num_classes=3)
        with torch.no_grad():
            network(torch.randn(4, 3, *size))
    network = network.eval().double()
    images, probe = copies(9, CORNERS, size), Counting(network)
    found = incremental(probe)(images)
    assert probe.whole == 1
    expected = TorchProbe(network)(images)
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-10)
    assert (expected - expected[0]).abs().max() > 1e-6


class TestWholeImagesPass:
    def passed(self, network, images, image=None):
        probe = Counting(network)
        found = incremental(probe, image)(images)
        assert torch.equal(found, TorchProbe(network)(images))
        return probe.whole

    def test_where_the_windows_are_large(self):
        images = copies(9, CORNERS)
        images[3] += 1
        assert self.passed(made(Residual), images) == len(images)

    def test_where_there_are_few_or_they_are_small(self):
        images = copies(9, CORNERS)
        assert self.passed(made(Residual), images[:3]) == 3
        assert self.passed(made(Residual), images[..., :40, :40].contiguous()) == len(images)

    def test_where_the_first_operation_is_not_known(self):
        class Rolled(Unknown):
            def forward(self, images):
                return super().forward(torch.roll(images, 3, dims=2))

        images = copies(9, CORNERS)
        assert self.passed(made(Rolled), images) == len(images)

    def test_where_the_way_hangs_on_the_image(self):
        class Choosing(Residual):
            def forward(self, images):
                return super().forward(images if images.mean() > 0 else -images)

        images = copies(9, CORNERS)
        assert self.passed(made(Choosing), images) == len(images)

    def test_where_the_network_is_no_longer_its_graph(self):
        class Tempered(Residual):
            temperature = 1.0

            def forward(self, images):
                return super().forward(images) / self.temperature

        network, images = made(Tempered), copies(9, CORNERS)
        assert self.passed_in_windows(network, images)
        network.temperature = 2.0
        assert self.passed(network, images) >= len(images)

    @staticmethod
    def passed_in_windows(network, images):
        probe = Counting(network)
        same(incremental(probe)(images), TorchProbe(network)(images))
        return probe.whole == 1

    def test_but_new_weights_are_seen(self):
        network, images = made(Residual), copies(9, CORNERS)
        assert self.passed_in_windows(network, images)
        with torch.no_grad():
            network.first.weight.mul_(1.5)
        assert self.passed_in_windows(network, images)
        network.second = nn.Conv2d(8, 12, 3, stride=2, padding=1).double()
        assert self.passed_in_windows(network, images)

    def test_for_probes_on_something_else(self):
        def probe(images):
            return images.flatten(1)[:, :2]

        assert incremental(probe) is probe


def test_images_without_a_change_and_without_numbers():
    network, images = made(Residual), copies(9, CORNERS)
    images[4] = images[3]
    found = incremental(Counting(network))(images)
    assert torch.allclose(found[4], found[3], rtol=0, atol=1e-14)
    same(found[4:], TorchProbe(network)(images)[4:])
    images[5:, :, 50, 50] = torch.nan
    found, expected = incremental(Counting(network))(images), TorchProbe(network)(images)
    assert torch.allclose(found, expected, equal_nan=True, atol=1e-6)
    assert found[5:].isnan().all()
    assert not found[:5].isnan().any()


class TestWindows:
    SLIDING = (
        Sliding((3, 3), (1, 1), (1, 1)),
        Sliding((7, 5), (2, 3), (3, 0)),
        Sliding((3, 2), (1, 2), (4, 1), dilation=(3, 2)),
        Sliding((1, 1), (2, 2), (0, 0)),
        Sliding((2, 2), (3, 3), (0, 1)),
    )

    @pytest.mark.parametrize("sliding", SLIDING)
    @pytest.mark.parametrize("size", [(1, 1), (4, 3)])
    def test_hold_every_place_that_changes(self, sliding, size):
        """Each place of a sum over the kernel, before and after a change, in loops over the changes."""
        rows, columns = 17, 20

        def sums(image):
            ones = torch.ones(1, 1, *sliding.kernel)
            return functional.conv2d(image, ones, None, sliding.stride, sliding.padding, sliding.dilation)

        blank = torch.zeros(1, 1, rows, columns)
        grid = tuple(sums(blank).shape[-2:])
        for y in range(rows - size[0] + 1):
            for x in range(columns - size[1] + 1):
                image = blank.clone()
                image[..., y : y + size[0], x : x + size[1]] = 1
                seen = sliding.seeing(Windows(np.array([[y, x]]), size), grid)
                top, left = seen.corners[0]
                assert 0 <= top <= grid[0] - seen.size[0]
                assert 0 <= left <= grid[1] - seen.size[1]
                outside = sums(image)
                outside[..., top : top + seen.size[0], left : left + seen.size[1]] = 0
                assert not outside.any()
                assert all(
                    n <= (h - 1 + reach) // step + 1
                    for n, h, reach, step in zip(seen.size, size, sliding.reach, sliding.stride, strict=True)
                )

    def test_of_unequal_images(self):
        images = copies(5, [(3, 4), (10, 60), (80, 86)])
        windows = differences(images, cumulative=True)
        assert windows.size == (5, 5)
        assert windows.corners[1:].tolist() == [[3, 4], [10, 60], [80, 83]]
        alone = differences(images, cumulative=False)
        assert alone.corners[1].tolist() == [3, 4]
        assert alone.size == (82, 84)

    def test_united_hold_both(self):
        one, other = Windows(np.array([[0, 5], [6, 6]]), (2, 2)), Windows(np.array([[1, 1], [6, 6]]), (3, 1))
        both = united([one, other], (9, 8))
        assert both.size == (4, 6)
        assert both.corners.tolist() == [[0, 1], [5, 2]]

    def test_maps_go_on_changing_or_do_not(self):
        new, places = torch.ones(2, 1, 1, 1), np.array([[0, 0], [1, 1]])
        for cumulative, seen in ((True, [1, 2]), (False, [1, 1])):
            cut = ChangingMap(torch.zeros(1, 1, 2, 2), cumulative=cumulative).cut(
                new, places, np.zeros((2, 2), int), (2, 2)
            )
            assert cut.sum((1, 2, 3)).tolist() == seen


class TestWhoUsesIt:
    NETWORK = made(Residual)
    IMAGE = copies(1, [])[0]
    SALIENCY = np.random.default_rng(0).random(SIZE)

    @staticmethod
    def plain(probe):
        """The same probe, of which nothing is known."""
        return probe.__call__

    @pytest.mark.parametrize(
        ("curve", "settings"),
        [
            (aopc_curve, {"region": 9}),
            (aopc_curve, {"region": 13, "steps": None, "order": "lerf", "fill": "gaussian"}),
            (deletion_curve, {"step": 1584}),
            (insertion_curve, {"step": 1584}),
        ],
    )
    def test_curves(self, curve, settings):
        probe = TorchProbe(self.NETWORK)
        arguments = (self.IMAGE, self.SALIENCY, 1)
        found = curve(probe, *arguments, **settings).score
        assert found == pytest.approx(curve(self.plain(probe), *arguments, **settings).score, abs=1e-6)
        assert np.ptp(found) > 1e-4

    def test_a_curve_of_single_pixels_passes_few_whole_images(self):
        probe = Counting(self.NETWORK)
        scores = aopc_curve(probe, self.IMAGE, self.SALIENCY, 1, region=1, steps=199).score
        assert probe.whole == 1  # the first, with which the graph is compared
        again = aopc_curve(self.plain(probe), self.IMAGE, self.SALIENCY, 1, region=1, steps=199).score
        assert scores == pytest.approx(again, abs=1e-12)

    @pytest.mark.parametrize(
        "settings", ["window=12,stride=7", "window=9,stride=9,output=logit,baseline=blur"]
    )
    def test_occlusion(self, settings):
        method, probe = f"occlusion:{settings}", TorchProbe(self.NETWORK)
        found = attribute(self.NETWORK, self.IMAGE[None], method, target=1)
        expected = attribute(self.plain(probe), self.IMAGE[None], method, target=1)
        found, expected = (next(iter(maps.values())) for maps in (found, expected))
        assert torch.allclose(found, expected, atol=1e-6)
        assert np.ptp(found.numpy()) > 1e-3


def test_says_what_it_is():
    assert isinstance(incremental(TorchProbe(made(Residual))), IncrementalProbe)
