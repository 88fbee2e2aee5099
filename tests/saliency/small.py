"""Small networks whose attributions are known or quick to get."""

import torch
from torch import nn


class Convolutional(nn.Module):
    """Two convolutions at the image's size, pooled, one linear layer; ``layer`` is the last activation."""

    def __init__(self, classes=3, activation=nn.ReLU, hidden=5, padding=1, channels=2):
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3, padding=padding)
        self.first = activation()
        self.conv = nn.Conv2d(4, hidden, 3, padding=padding)
        self.layer = activation()
        self.head = nn.Linear(hidden, classes)

    def forward(self, x):
        return self.head(self.layer(self.conv(self.first(self.stem(x)))).mean(dim=(2, 3)))


class LinearModel(nn.Module):
    """Logits linear in the pixels: every attribution is the weight times the distance from the baseline."""

    def __init__(self, size=(2, 6, 9), classes=3):
        super().__init__()
        self.layer = nn.Identity()
        self.flat = nn.Flatten()
        self.head = nn.Linear(size[0] * size[1] * size[2], classes)
        self.size = size

    def forward(self, x):
        return self.head(self.flat(self.layer(x)))

    def weight(self, target):
        return self.head.weight[target].detach().reshape(self.size)


def build(kind, seed=0, **params):
    """A network in float64 and evaluation mode, with weights large enough for logits that differ."""
    torch.manual_seed(seed)
    network = kind(**params).double().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1.5)
    return network


def images(count=2, size=(2, 6, 9), seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, *size, generator=source, dtype=torch.float64)
