"""Transformers' outputs as feature maps."""

import pytest
import timm
import torch
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.saliency.capture import ForwardPass
from xiqa.saliency.engine import attribute
from xiqa.saliency.tokens import feature_map


class Patches(nn.Module):
    """Patches of 16 pixels as tokens behind some that stand for no place."""

    def __init__(self, prefix):
        super().__init__()
        self.prefix = prefix
        self.conv = nn.Conv2d(3, 6, 16, 16)
        self.tokens = nn.Identity()

    def forward(self, images):
        tokens = self.conv(images).flatten(2).transpose(1, 2)
        return self.tokens(torch.cat([tokens.new_ones(len(tokens), self.prefix, 6), tokens], dim=1))


@pytest.mark.parametrize("prefix", [0, 1, 2, 5, 9])
def test_tokens_lie_where_their_patches_lie(prefix):
    torch.manual_seed(0)
    network = Patches(prefix).eval()
    images = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        found = feature_map(network(images), images, "tokens", network)
        torch.testing.assert_close(found, network.conv(images))


def test_what_has_no_grid_is_told():
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 64))
    network = nn.Sequential(dense, nn.Unflatten(1, (4, 4, 4)), nn.Flatten(2))
    images = torch.randn(1, 3, 64, 64)
    for name, last in [("0", 1), ("1", 2), ("2", 3)]:
        with pytest.raises(SaliencyError, match=f"'{name}' has no places"):
            feature_map(network[:last](images), images, name, network)


def test_a_vision_transformer_is_explained_on_its_patches():
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", img_size=(48, 80), num_classes=2, depth=2).eval()
    images = torch.randn(1, 3, 48, 80)
    (found,) = attribute(network, images, "layercam").values()
    assert found.shape == (1, 3, 5)
    # the record is what the block's norm gives for the patches, without the class token
    record = ForwardPass(network, images, ["blocks.1.norm1"]).backward(torch.tensor([1]))[0]["blocks.1.norm1"]
    kept = []
    network.blocks[1].norm1.register_forward_hook(lambda module, args, output: kept.append(output))
    network(images)
    assert torch.equal(record.output[0, :, 2, 4], kept[0][0, -1])
    assert torch.equal(record.output[0, :, 0, 1], kept[0][0, 2])


def test_a_network_with_channels_last_has_them_put_first():
    torch.manual_seed(0)
    network = timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=64,
        window_size=4,
        num_classes=2,
        depths=(1, 1, 1, 1),
        embed_dim=24,
    ).eval()
    images = torch.randn(1, 3, 64, 64)
    names = ["patch_embed.proj", "layers.1"]
    first, second = ForwardPass(network, images, names).backward(torch.tensor([1]))[0].values()
    assert first.output.shape == first.grad.shape == (1, 24, 16, 16)
    assert second.output.shape == second.grad.shape == (1, 48, 8, 8)
