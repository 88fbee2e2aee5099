"""The same network with fewer operations: half the time of an assessment, and the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from xiqa.errors import ModelError
from xiqa.models.fold import fold_batch_norm

__all__ = ["folded"]

Fingerprint = tuple[float, ...]

_known: WeakKeyDictionary[nn.Module, tuple[Fingerprint, tuple[str, ...], nn.Module | None]] = (
    WeakKeyDictionary()
)


def folded(network: nn.Module, layers: Sequence[str], shape: tuple[int, ...]) -> nn.Module | None:
    """A copy with folded batch norm and channels-last weights that agrees at the logits and at some layers.

    Kept with the network, and made again when a weight has changed.

    Args:
        network: In evaluation mode.
        layers: Modules whose outputs must stay what they are.
        shape: Of an image as the network takes it, ``(C, H, W)``.

    Returns:
        The copy; None where folding changes one of the layers, or is not possible.
    """
    mark = _fingerprint(network)
    if network in _known and _known[network][:2] == (mark, tuple(layers)):
        return _known[network][2]
    copy = _fold(network, layers, shape)
    _known[network] = mark, tuple(layers), copy
    return copy


def _fold(network: nn.Module, layers: Sequence[str], shape: tuple[int, ...]) -> nn.Module | None:
    """The copy, compared on a small image, or on one of the right size where the network takes no other."""
    channels, *size = shape
    for sides in ((64, 64), size):
        generator = torch.Generator().manual_seed(0)
        example = torch.randn(1, channels, *sides, generator=generator).to(next(network.parameters()))
        with suppress(ModelError, RuntimeError, AssertionError, TypeError):
            copy = fold_batch_norm(network, example).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            pairs = zip(_outputs(network, layers, example), _outputs(copy, layers, example), strict=True)
            same = all(torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(a.abs().max())) for a, b in pairs)
            return copy if same else None
    return None


def _outputs(network: nn.Module, layers: Sequence[str], example: Tensor) -> list[Tensor]:
    """What the layers give for one image."""
    kept: dict[str, Tensor] = {}
    handles = []
    for name in layers:

        def keep(module: nn.Module, inputs: object, output: Tensor, name: str = name) -> None:
            kept[name] = output.detach().clone()

        handles.append(network.get_submodule(name).register_forward_hook(keep))
    try:
        with torch.inference_mode():
            network(example)
    finally:
        for handle in handles:
            handle.remove()
    return [kept[name] for name in layers]


def _fingerprint(network: nn.Module) -> Fingerprint:
    """Changes with every weight; a few milliseconds."""
    tensors = [*network.parameters(), *network.buffers()]
    with torch.inference_mode():
        return tuple(torch.stack([tensor.float().sum() for tensor in tensors]).tolist())
