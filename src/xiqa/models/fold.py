"""Batch norm folded into the convolution before it: the same function with fewer operations."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from xiqa.errors import ModelError

__all__ = ["fold_batch_norm"]


def fold_batch_norm(network: nn.Module, images: Tensor) -> nn.Module:
    r"""A copy of a network in evaluation mode whose batch norms are part of the convolutions before them.

    With :math:`s = \gamma / \sqrt{\sigma^2 + \epsilon}` a convolution :math:`W x + b` and the batch norm
    behind it become one convolution,

    .. math:: (s W)\, x + s\,(b - \mu) + \beta .

    Which belongs to which is seen in one forward pass: a batch norm whose input is the very output of a
    convolution that is called once. A layer's output *between* the two is no longer the same; everywhere
    else outputs and gradients agree up to rounding. An activation inside a batch norm (timm) stays under
    the batch norm's name.

    Args:
        network: Left as it is.
        images: ``(N, C, H, W)`` for the forward pass.

    Returns:
        The folded copy.

    Raises:
        ModelError: The copy gives other logits, because something else reads a convolution's output.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten()).eval()
    >>> type(fold_batch_norm(net, torch.zeros(1, 1, 4, 4))[1]).__name__
    'Identity'
    """
    folded = copy.deepcopy(network).eval()
    with torch.no_grad():
        for convolution, name in _pairs(folded, images):
            _fold(folded, convolution, name)
        before, after = copy.deepcopy(network).eval()(images), folded(images)
    if not torch.allclose(before, after, rtol=1e-3, atol=1e-3 * float(before.abs().max())):
        raise ModelError(
            f"{type(network).__name__} cannot be folded",
            expected="batch norms that alone read their convolution",
            todo="use the network as it is",
        )
    return folded


def _pairs(network: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, str]]:
    """Every convolution with the name of the batch norm that reads its output."""
    made: dict[int, tuple[Tensor, nn.Conv2d]] = {}
    calls: dict[nn.Module, int] = {}
    pairs: list[tuple[nn.Conv2d, str]] = []

    def after_convolution(module: nn.Module, args: Any, output: Any) -> None:
        calls[module] = calls.get(module, 0) + 1
        made[id(output)] = (output, module)  # type: ignore[assignment]  # keeping it keeps its id

    def before_norm(name: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            calls[module] = calls.get(module, 0) + 1
            source = made.get(id(args[0]))
            if source is not None:
                pairs.append((source[1], name))

        return hook

    handles = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(after_convolution))
        elif isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            handles.append(module.register_forward_pre_hook(before_norm(name)))
    network(images)
    for handle in handles:
        handle.remove()
    return [
        (conv, name) for conv, name in pairs if calls[conv] == 1 and calls[network.get_submodule(name)] == 1
    ]


def _fold(network: nn.Module, convolution: nn.Conv2d, name: str) -> None:
    """Move one batch norm into its convolution and leave its activation, if it has one, in its place."""
    norm = network.get_submodule(name)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gamma = norm.weight if norm.affine else torch.ones_like(norm.running_var)
    beta = norm.bias if norm.affine else torch.zeros_like(norm.running_var)
    scale = gamma / (norm.running_var + norm.eps).sqrt()
    bias = convolution.bias if convolution.bias is not None else torch.zeros_like(norm.running_mean)
    convolution.weight = nn.Parameter(convolution.weight * scale[:, None, None, None])
    convolution.bias = nn.Parameter((bias - norm.running_mean) * scale + beta)
    parent, _, child = name.rpartition(".")
    activation = getattr(norm, "act", None)
    setattr(network.get_submodule(parent), child, activation if activation is not None else nn.Identity())
