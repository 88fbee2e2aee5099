"""A map of wrong size or in the wrong place: layouts are read off what moves, or refused by name."""

import gc
import weakref

import pytest
import timm
import torch
import torchvision
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.models.layers import TargetLayers, target_layers
from xiqa.saliency.capture import ForwardPass
from xiqa.saliency.engine import attribute
from xiqa.saliency.tokens import feature_map


def build(name, **options):
    torch.manual_seed(0)
    if name.startswith("torchvision "):
        return torchvision.models.get_model(name.split()[1], weights=None, **options).eval()
    return timm.create_model(name, num_classes=3, **options).eval()


def noise(count, *size, seed=1):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def moved_place(network, layer, images, row, column):
    """Where a layer's features change most when the part of the image around a point does."""
    rows, columns = images.shape[-2:]
    moved = images.clone()
    tall, wide = rows // 16, columns // 16
    top, left = round(row * rows), round(column * columns)
    moved[:, :, top - tall : top + tall, left - wide : left + wide] += 1.0
    target = torch.zeros(len(images), dtype=torch.long)
    before, after = (
        ForwardPass(network, one, [layer], grad=False).backward(target, layers=[])[0][layer].output
        for one in (images, moved)
    )
    change = (after - before).square().sum(dim=(0, 1))
    place = int(change.argmax())
    return (place // change.shape[1] + 0.5) / change.shape[0], (place % change.shape[1] + 0.5) / change.shape[
        1
    ]


LAYERS = [
    ("torchvision swin_t", {}, (64, 96), ["features.1", "features.3.0", "features.5", "features.1.1.norm1"]),
    ("volo_d1_224", {}, (224, 224), ["network.0", "network.3", "network.4"]),
    (
        "vit_tiny_patch16_224",
        {"img_size": (96, 160), "reg_tokens": 4, "depth": 3},
        (96, 160),
        ["patch_embed", "blocks.0", "blocks.2.norm1", "blocks.2.attn.qkv"],
    ),
    (
        "swin_tiny_patch4_window7_224",
        {"img_size": (112, 168), "depths": (2, 2, 1, 1), "embed_dim": 24},
        (112, 168),
        ["layers.0", "layers.0.blocks.0.attn", "layers.0.blocks.1.attn", "layers.1.blocks.1.norm1"],
    ),
    ("swinv2_tiny_window8_256", {"img_size": 128}, (128, 128), ["layers.0.blocks.0.attn", "layers.1"]),
    ("resnet18", {}, (96, 160), ["layer1", "layer3"]),
    ("cait_xxs24_224", {"depth": 3}, (224, 224), ["blocks.2", "blocks_token_only.0.norm1"]),
]


LARGE = {"volo_d1_224", "swinv2_tiny_window8_256", "crossvit_tiny_240", "convit_tiny", "pit_ti_224"}
LARGE |= {"torchvision googlenet", "eva02_tiny_patch14_224"}


def case(name, *more):
    """A test's parameters; large networks are for the long run."""
    return pytest.param(name, *more, marks=[pytest.mark.long] if name in LARGE else [])


@pytest.mark.parametrize(
    ("name", "options", "size", "layer"),
    [case(name, options, size, layer) for name, options, size, layers in LAYERS for layer in layers],
)
def test_what_changes_in_the_image_changes_there_in_the_map(name, options, size, layer):
    network, images = build(name, **options), noise(2, *size)
    for row, column in ((0.25, 0.7), (0.8, 0.3)):
        there = moved_place(network, layer, images, row, column)
        assert there == pytest.approx((row, column), abs=0.2)


@pytest.mark.parametrize(
    ("name", "options", "size"), [case(name, options, size) for name, options, size, _ in LAYERS]
)
def test_maps_have_the_number_and_the_ratio_of_the_images(name, options, size):
    network, images = build(name, **options), noise(3, *size)
    for maps in attribute(network, images, ["gradcam", "layercam:layers=multi"], target=1).values():
        assert len(maps) == 3
        ratio = maps.shape[1] * size[1] / (maps.shape[2] * size[0])
        assert 0.7 < ratio < 1.45


class Turned(nn.Module):
    """The image is turned before it is looked at."""

    def __init__(self, turn):
        super().__init__()
        torch.manual_seed(0)
        self.turn = turn
        self.conv, self.head = nn.Conv2d(3, 5, 4, 4), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.conv(self.turn(x)).relu().mean(dim=(2, 3)))


@pytest.mark.parametrize(
    "turn",
    [lambda x: x, lambda x: x.transpose(2, 3), lambda x: x.flip(3), lambda x: x.transpose(2, 3).flip(2)],
    ids=["as it is", "transposed", "mirrored", "turned"],
)
@pytest.mark.parametrize("size", [(48, 48), (32, 64)])
def test_a_network_that_turns_the_image_has_its_map_turned_back(turn, size):
    network, images = Turned(turn).eval(), noise(2, *size)
    (found,) = attribute(network, images, "hirescam:layers=conv", target=1).values()
    straight = Turned(lambda x: x).eval()
    assert found.shape == (2, size[0] // 4, size[1] // 4)
    for row, column in ((0.3, 0.8), (0.7, 0.2)):
        assert moved_place(network, "conv", images, row, column) == pytest.approx((row, column), abs=0.1)
    assert straight.conv.weight.equal(network.conv.weight)


class Windows(nn.Module):
    """Tokens that go by windows through the layer, as Swin's attention sees them."""

    def __init__(self, order):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.inner, self.head = nn.Conv2d(3, 6, 4, 4), nn.Identity(), nn.Linear(6, 3)
        self.order = order

    def forward(self, x):
        maps = self.conv(x)
        tokens = self.inner(self.order(maps))
        return self.head(tokens.reshape(len(x), -1, 6).mean(1))


def by_window(maps):
    parts = maps.unflatten(3, (-1, 4)).unflatten(2, (-1, 4))  # N C kh wh kw ww
    return parts.permute(0, 2, 4, 3, 5, 1)


ORDERS = {
    "in the batch": lambda maps: by_window(maps).flatten(3, 4).flatten(0, 2),
    "in the batch, with sides": lambda maps: by_window(maps).flatten(0, 2),
    "beside": lambda maps: by_window(maps).flatten(3, 4).flatten(1, 2),
    "shifted": lambda maps: by_window(maps.roll((-2, -2), (2, 3))).flatten(3, 4).flatten(0, 2),
    "columns first": lambda maps: maps.transpose(2, 3).flatten(2).transpose(1, 2),
    "prefix behind": lambda maps: torch.cat(
        [maps.flatten(2).transpose(1, 2), maps.new_ones(len(maps), 2, 6)], dim=1
    ),
}


@pytest.mark.parametrize("order", ORDERS)
def test_windows_are_put_back(order):
    network, images = Windows(ORDERS[order]).eval(), noise(2, 32, 48)
    with torch.no_grad():
        found = feature_map(network.inner(network.order(network.conv(images))), images, "inner", network)
        torch.testing.assert_close(found, network.conv(images))


def test_an_order_that_nobody_knows_is_refused_by_name():
    shuffle = torch.randperm(96, generator=torch.Generator().manual_seed(1))
    network = Windows(lambda maps: maps.flatten(2).transpose(1, 2)[:, shuffle]).eval()
    with pytest.raises(SaliencyError, match="'inner' has no places"):
        attribute(network, noise(2, 32, 48), "gradcam:layers=inner", target=1)


@pytest.mark.parametrize("method", ["reciprocam", pytest.param("ablationcam", marks=pytest.mark.long)])
@pytest.mark.parametrize("layer", ["features.5", "features.7"])
def test_masked_features_lie_where_their_places_lie(method, layer):
    network, images = build("torchvision swin_t", num_classes=3), noise(1, 64, 96)
    (maps,) = attribute(network, images, f"{method}:layers={layer}", target=1).values()
    assert maps.shape[1:] == feature_size(network, layer, images)
    assert float(maps.std()) > 0


def feature_size(network, layer, images):
    record = ForwardPass(network, images, [layer], grad=False).backward(torch.tensor([0]), layers=[])[0]
    return record[layer].output.shape[2:]


def test_places_are_found_once_and_hold_no_network():
    network, images = build("resnet18"), noise(1, 64, 64)
    calls = []
    network.conv1.register_forward_hook(lambda module, args, output: calls.append(len(output)))
    attribute(network, images, "gradcam", target=1)
    first = len(calls)
    attribute(network, images, "gradcam", target=1)
    attribute(network, noise(2, 96, 64), "gradcam", target=1)  # another size, the same order
    assert len(calls) == first + 2
    dead = weakref.ref(network)
    del network
    gc.collect()
    assert dead() is None


DEFAULTS = {
    "xcit_nano_12_p16_224": (14, 14),
    "convit_tiny": (14, 14),
    "pit_ti_224": (7, 7),
    "crossvit_tiny_240": (20, 20),
    "eva02_tiny_patch14_224": (16, 16),
    "torchvision shufflenet_v2_x0_5": (7, 7),
    "torchvision regnet_x_400mf": (7, 7),
    "torchvision googlenet": (7, 7),
}


def reading(network):
    """Heads that start at zero are given some weight, so that there is something to explain."""
    for module in network.modules():
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    return network


@pytest.mark.parametrize("name", map(case, DEFAULTS))
def test_the_last_layer_is_one_from_which_patches_reach_the_output(name):
    options = {"init_weights": False} if name.endswith("googlenet") else {}
    network = reading(build(name, **options))
    images = noise(2, 240, 240) if "240" in name else noise(2, 224, 224)
    (maps,) = attribute(network, images, "hirescam", target=1).values()
    assert tuple(maps.shape) == (2, *DEFAULTS[name])
    assert (maps != 0).double().mean() > 0.9


@pytest.mark.parametrize(("pool", "last"), [("token", "blocks.1.norm1"), ("avg", "blocks.1.norm1")])
def test_a_head_on_the_class_token_is_read_before_it(pool, last):
    network = build("vit_tiny_patch16_224", img_size=(48, 80), depth=2, global_pool=pool)
    assert target_layers(network, noise(1, 48, 80)).last == last
    network = build("eva02_tiny_patch14_224", img_size=(56, 84), depth=3, global_pool=pool)
    images = noise(2, 56, 84)
    (maps,) = attribute(network, images, "hirescam", target=1).values()
    assert maps.shape == (2, 4, 6)
    assert (maps != 0).all()


class Hugging(nn.Module):
    """A transformer in Hugging Face's manner: blocks give tuples, the output is a dict."""

    def __init__(self, depth=4):
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 24, 16, 16)
        self.cls = nn.Parameter(torch.randn(1, 1, 24))
        layer = lambda: nn.TransformerEncoderLayer(24, 3, 48, dropout=0.0, batch_first=True, norm_first=True)  # noqa: E731
        self.layers = nn.ModuleList(layer() for _ in range(depth))
        self.norm, self.classifier = nn.LayerNorm(24), nn.Linear(24, 3)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls.expand(len(x), -1, -1), tokens], dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        return {"logits": self.classifier(self.norm(tokens)[:, 0])}


def test_a_transformer_whose_output_is_a_dict():
    network, images = Hugging().eval(), noise(2, 48, 80)
    layers = target_layers(network, images)
    assert layers.last == "layers.2"
    maps = attribute(network, images, ["hirescam", "occlusion"], target=lambda out: out["logits"][:, 2])
    assert maps["hirescam"].shape == (2, 3, 5)
    assert (maps["hirescam"] != 0).all()


def test_a_gradient_that_is_zero_everywhere_is_told():
    network, images = Hugging().eval(), noise(2, 48, 80)
    late = TargetLayers("layers.3", ("layers.3",))
    with torch.no_grad():
        network.classifier.weight.zero_()
    with pytest.warns(UserWarning, match=r"gradient at layers\.3 is exactly zero everywhere for 2 of 2"):
        attribute(network, images, "gradcam", target=lambda out: out["logits"][:, 2], layers=late)
