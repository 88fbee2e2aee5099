"""Small networks and images that the metric tests share."""

import torch
from torch import nn


class Linear(nn.Module):
    """Two logits: a weighted sum of all pixels, and its negative."""

    def __init__(self, weights: torch.Tensor):
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, images):
        z = (images * self.weights).flatten(1).sum(dim=1)
        return torch.stack([-z, z], dim=1)


def small_network(channels: int = 3, classes: int = 2, seed: int = 0) -> nn.Module:
    """Convolutions, batch norm with statistics of its own, pooling and a linear head."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, classes),
        )
        for layer in network:
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, std=0.3)
                nn.init.normal_(layer.running_mean, std=0.2)
                nn.init.uniform_(layer.running_var, 0.5, 1.5)
        nn.init.normal_(network[-1].weight, std=2.0)
    return network.eval()


def picture(channels: int = 3, size=(24, 32), seed: int = 0) -> torch.Tensor:
    return torch.randn(channels, *size, generator=torch.Generator().manual_seed(seed))
