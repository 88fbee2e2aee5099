"""Heads on pooled features that the libraries do not have: a small perceptron, and ordered grades."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import xiqa._torchvision  # noqa: F401 - lets torchvision load beside a CPU-only torch
from xiqa.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "OrderedLinear",
    "PooledMLP",
    "he_initialise",
    "last_linear",
    "replace_last_linear",
    "zero_residuals",
]


class PooledMLP(nn.Module):
    r"""Max pooling of the last feature map, then two dense layers: a small head for frozen features.

    .. math:: z = W_2 \, \mathrm{ReLU}(W_1 \, \mathrm{flat}(\mathrm{maxpool}_{p \times p}(A)) + b_1) + b_2

    The input is of one size, since the flattened features keep their places. Source:
    ``lamprou2024faithfulness``, there on the 9 x 9 features that VGG16 and DenseNet201 give at 299 x 299.

    Args:
        body: Gives feature maps ``(N, C, h, w)``.
        input_size: (rows, columns) of the images.
        channels: Of the images.
        classes: Length of the output.
        pool: Side and stride :math:`p` of the max pooling.
        hidden: Neurons of the first dense layer.

    Raises:
        ModelError: The feature map is smaller than the pooling's window.
    """

    def __init__(
        self,
        body: nn.Module,
        input_size: tuple[int, int],
        *,
        channels: int = 3,
        classes: int = 2,
        pool: int = 4,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        self.body, self.pool = body, pool
        # without numbers: a pass of a VGG at full size would take a second
        shadow = copy.deepcopy(body).to("meta").eval()
        places = shadow(torch.empty(1, channels, *input_size, device="meta"))
        rows, columns = places.shape[-2] // pool, places.shape[-1] // pool
        if rows * columns == 0:
            raise ModelError(
                "the images are too small for this head",
                expected=f"features of at least {pool} x {pool}",
                got=f"{places.shape[-2]} x {places.shape[-1]} of {input_size[0]} x {input_size[1]} pixels",
                todo="take larger images or a smaller pool",
            )
        self.head = nn.Sequential(
            nn.Linear(places.shape[1] * rows * columns, hidden), nn.ReLU(), nn.Linear(hidden, classes)
        )

    def features(self, images: Tensor) -> Tensor:
        """Pooled, flat features ``(N, F)`` of images ``(N, C, H, W)``: what the dense layers see."""
        return F.max_pool2d(self.body(images), self.pool).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, K)`` of images ``(N, C, H, W)``."""
        return cast("Tensor", self.head(self.features(images)))


class OrderedLinear(nn.Module):
    r"""Scores with ordered thresholds: the cumulative logits of grades.

    Every score :math:`s = w^\top f` has thresholds :math:`b_1 < b_2 < \dots < b_{G-1}`, and

    .. math:: z_k = s - b_k, \qquad P(\text{grade} \ge k) = \sigma(z_k), \quad k = 1 \dots G - 1

    so the probabilities of higher grades never exceed those of lower ones, and a heat map of any threshold
    shows the same places. Source: ``mccullagh1980regression``; the thresholds stay in order by
    :math:`b_{k+1} = b_k + \mathrm{softplus}(a_k)`.

    Args:
        features: Length of :math:`f`.
        scores: How many, each of its own question.
        grades: How many grades :math:`G \ge 2` each tells apart.
    """

    def __init__(self, features: int, scores: int, grades: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, scores, bias=False)
        self.first = nn.Parameter(torch.zeros(scores, 1))
        self.steps = nn.Parameter(torch.zeros(scores, grades - 2))

    def thresholds(self) -> Tensor:
        """``(scores, grades - 1)``, rising."""
        return torch.cat((self.first, self.first + F.softplus(self.steps).cumsum(1)), dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Cumulative logits ``(N, scores * (grades - 1))``, score by score."""
        scores: Tensor = self.score(features)
        return (scores[..., None] - self.thresholds()).flatten(-2)


def last_linear(network: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of a network's last linear layer.

    Raises:
        ModelError: It has none.
    """
    for name, module in reversed(list(network.named_modules())):
        if isinstance(module, nn.Linear):
            return name, module
    raise ModelError("the network has no linear head", todo="choose another one")


def replace_last_linear(network: nn.Module, make: Callable[[int], nn.Module]) -> nn.Module:
    """Put another module, made for its number of features, in the last linear layer's place."""
    name, last = last_linear(network)
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, make(last.in_features))
    return network


def he_initialise(network: nn.Module) -> None:
    r"""Draw the last linear layer anew, :math:`w \sim \mathcal{N}(0, 2 / F)`, its bias zero.

    Source: ``he2015delving``, with :math:`F` the layer's inputs.
    """
    _, last = last_linear(network)
    nn.init.kaiming_normal_(last.weight, nonlinearity="relu")
    if last.bias is not None:
        nn.init.zeros_(last.bias)


def zero_residuals(network: nn.Module) -> None:
    """Let the residual blocks of a torchvision ResNet begin as identities: 0 weighs their last batch norm.

    A deep network that begins without pretrained weights learns sooner so; timm's ResNets do it by
    themselves. Other networks stay as they are. Source: ``goyal2017accurate``, section 5.1.
    """
    from torchvision.models.resnet import BasicBlock, Bottleneck  # noqa: PLC0415 - takes a second

    for module in network.modules():
        if isinstance(module, (BasicBlock, Bottleneck)):
            last = module.bn2 if isinstance(module, BasicBlock) else module.bn3
            nn.init.zeros_(cast("Tensor", last.weight))
