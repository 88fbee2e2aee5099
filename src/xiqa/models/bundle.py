"""A bundle: a folder with a network's weights and its card, which loads without running code.

``model.json`` is the card, ``model.safetensors`` the weights (and the guard's numbers). The card holds the
weights' hash and its own, so that a changed or mixed-up file is noticed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from safetensors import SafetensorError

from xiqa.errors import BundleError, ModelError
from xiqa.models.backbones import build_network
from xiqa.models.card import BundleCard
from xiqa.models.device import choose_device
from xiqa.models.guard import Guard
from xiqa.models.outputs import read_outputs
from xiqa.models.sealed import open_weights, seal
from xiqa.models.shelf import CARD, WEIGHTS, bundle_folder, read_card
from xiqa.models.views.network import ViewNet

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from xiqa.geometry import Frame
    from xiqa.models.outputs import Reading
    from xiqa.types import FloatArray, Image

__all__ = ["LoadedModel", "load_model", "save_bundle"]

CHANNELS = 3  # of every network that `build_network` makes


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A network ready to assess images, with its card.

    Attributes:
        network: In evaluation mode, float32.
        card: What it is.
        guard: Tells images that it was not made for; None where the bundle has none.
        view: Tells which view an image is; None where the bundle has none.
    """

    network: nn.Module
    card: BundleCard
    guard: Guard | None = None
    view: ViewNet | None = None

    def prepare(self, image: Image) -> tuple[FloatArray, Frame]:
        """The network's input ``(C, h, w)`` for one image, and the frame that leads back to it."""
        return self.card.preprocessing.prepare(image)

    def to(self, device: torch.device) -> LoadedModel:
        """The model on a device; its network is moved, not copied."""
        return replace(self, network=self.network.to(device))

    def probability(self, logits: Tensor) -> NDArray[np.float64]:
        """Calibrated probabilities ``(N,)`` of poor quality of logits ``(N, K)``."""
        return self.read(logits).probabilities

    def read(self, logits: Tensor) -> Reading:
        """Probabilities, each image's likeliest problem and what to explain for it; see `read_outputs`."""
        values, card = logits.detach().double().cpu().numpy(), self.card
        return read_outputs(card, values, card.temperature, card.beta)


def load_model(
    name_or_path: str | os.PathLike[str] = "cxr-foreign-objects", *, device: str = "cpu"
) -> LoadedModel:
    """Load a bundle, shipped or from a folder; every part is checked before it is used.

    Args:
        name_or_path: Name of a shipped bundle, or a bundle's folder.
        device: Where it will run; see `choose_device`.

    Returns:
        The model.

    Raises:
        ConfigError: There is no such device.
        BundleError: There is no such bundle, or it is incomplete, changed, or of another version.
    """
    folder = bundle_folder(name_or_path)
    card = read_card(folder)
    try:
        tensors = safetensors.torch.load(open_weights(folder / WEIGHTS, card))
    except SafetensorError as error:
        raise BundleError(f"{folder / WEIGHTS} is no safetensors file", got=str(error)) from error
    try:
        if card.preprocessing.shape[0] != CHANNELS:
            raise ModelError(
                "the network takes another number of channels",
                expected=f"mean and std of {CHANNELS}",
                got=str(card.preprocessing.shape[0]),
            )
        with torch.random.fork_rng(devices=[]):  # weights are drawn before they are replaced
            network = build_network(card.architecture)
        _fill(network, _part(tensors, "network."))
        guard = Guard.from_tensors(card.guard_layers, _part(tensors, "guard.")) if card.guard_layers else None
        view = _view(card, _part(tensors, "view."))
        for layer in (card.layers.last, *card.layers.multi, *card.guard_layers):
            network.get_submodule(layer)
    except (ModelError, AttributeError, RuntimeError, ValueError, TypeError, IndexError) as error:
        raise BundleError(f"the bundle {folder} does not fit together", got=str(error)) from error
    place = choose_device(device)
    return LoadedModel(network.eval().to(place), card, guard, view.to(place) if view is not None else None)


def save_bundle(
    folder: Path,
    network: nn.Module,
    card: BundleCard,
    guard: Guard | None = None,
    view: ViewNet | None = None,
    *,
    half: bool = True,
) -> BundleCard:
    """Write a bundle; both files appear whole or not at all.

    Args:
        folder: Where; made if needed.
        network: The network that ``card.architecture`` describes.
        card: Its card; the hashes are filled in here.
        guard: Its guard.
        view: Its view check.
        half: Store matrices and kernels as float16, which halves the file; vectors stay float32.

    Returns:
        The card as written.

    Raises:
        BundleError: A weight is not finite, or does not fit into float16.
    """
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    if guard is not None:
        tensors |= {f"guard.{name}": value for name, value in guard.to_tensors().items()}
    if view is not None:
        tensors |= {f"view.{name}": value for name, value in view.state_dict().items()}
    stored = {name: _stored(name, value, half) for name, value in tensors.items()}
    content = safetensors.torch.save(stored)
    layers = guard.layers if guard is not None else ()
    told = card.model_copy(update={"guard_layers": layers, "view": view.check if view is not None else None})
    return seal(folder / CARD, told, (folder / WEIGHTS, content))


def _stored(name: str, value: Tensor, half: bool) -> Tensor:
    """A tensor as it lies in the file."""
    value = value.detach().cpu().contiguous()
    if half and value.ndim >= 2 and value.is_floating_point():
        value = value.to(torch.float16)
    if value.is_floating_point() and not bool(value.isfinite().all()):
        raise BundleError(f"the weight {name} is not finite", todo="train again, or save with half=False")
    return value


def _view(card: BundleCard, tensors: dict[str, Tensor]) -> ViewNet | None:
    """The view check that the card tells of."""
    if card.view is None:
        return None
    with torch.random.fork_rng(devices=[]):
        view = ViewNet(card.view)
    _fill(view, tensors)
    return view.eval()


def _fill(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load weights into a network, all of them and no others."""
    wanted = network.state_dict()
    if set(wanted) != set(tensors):
        other = sorted(set(wanted) ^ set(tensors))
        raise BundleError("the weights belong to another network", got=", ".join(other[:3]))
    network.load_state_dict({name: tensors[name].to(value.dtype) for name, value in wanted.items()})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
