"""A bundle's network as it was trained, and as it was before: the controls of every experiment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from xiqa.experiments.recipe import Network, State
from xiqa.models.backbones import build_network
from xiqa.models.bundle import LoadedModel, load_model
from xiqa.models.heads.evidence import EvidenceNet
from xiqa.models.layers import TargetLayers
from xiqa.models.shelf import read_card
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.seeds import BATCH_NORM

__all__ = ["NetworkState", "fit_batch_norm", "network_hash", "states_of"]

FITTED_ON = 8  # simulated images


@dataclass(frozen=True, slots=True, eq=False)
class NetworkState:
    """One network in one state.

    Attributes:
        model: Its name in tables.
        state: See `xiqa.experiments.recipe.Network`.
        seed: Index of the training, or seed of the random weights.
        bundle: Name or folder of the bundle.
        load: Builds it.
    """

    model: str
    state: State
    seed: int
    bundle: str
    load: Callable[[], LoadedModel]


def states_of(network: Network) -> Iterator[NetworkState]:
    """Every state of a recipe's network, repeated trainings and random seeds one by one."""
    for state in network.states:
        if state == "full":  # random weights know no training
            pairs = [(seed, network.bundles[0]) for seed in network.seeds]
        elif state == "trained":
            pairs = list(enumerate(network.bundles))
        elif state == "imagenet":
            pairs = [(seed, network.bundles[0]) for seed in network.seeds]
        else:
            pairs = [(seed, network.bundles[seed % len(network.bundles)]) for seed in network.seeds]
        for seed, bundle in pairs:
            read_card(bundle)  # a wrong name is told before any work
            yield NetworkState(network.name, state, seed, bundle, partial(_load, bundle, state, seed))


def layers_of(model: LoadedModel) -> TargetLayers:
    """The layers that the card names."""
    return TargetLayers(model.card.layers.last, model.card.layers.multi)


def network_hash(model: LoadedModel) -> str:
    """Short name of exactly these weights.

    >>> from xiqa.models import load_model
    >>> len(network_hash(load_model()))
    16
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _load(bundle: str, state: State, seed: int) -> LoadedModel:
    trained = load_model(bundle)
    if state == "trained":
        return trained
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(
            trained.card.architecture, weights="imagenet" if state == "imagenet" else "none"
        )
    if state == "semi":
        _copy_backbone(trained.network, network)
    fit_batch_norm(network, _simulated_images(trained))
    return replace(trained, network=network.eval(), guard=None)


def _copy_backbone(trained: nn.Module, network: nn.Module) -> None:
    """Everything but the head: `EvidenceNet`'s body, or all but the last linear or convolutional layer."""
    if isinstance(network, EvidenceNet):
        head = {name for name in network.state_dict() if not name.startswith("body.")}
    else:
        last = [
            name for name, module in network.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))
        ][-1]
        head = {f"{last}.weight", f"{last}.bias"}
    kept = {name: value for name, value in trained.state_dict().items() if name not in head}
    network.load_state_dict(kept, strict=False)


def _simulated_images(model: LoadedModel) -> Tensor:
    """Simulated images as the network takes them."""
    size = model.card.preprocessing.size
    sides = (max(size[0], 96), max(size[1], 96))
    radiographs = [simulate_chest(seed, size=sides) for seed in BATCH_NORM.take(FITTED_ON)]
    return torch.stack([torch.from_numpy(model.prepare(radiograph.image)[0]) for radiograph in radiographs])


def fit_batch_norm(network: nn.Module, images: Tensor) -> None:
    """Let batch norm see how large a random network's features are; without it they vanish layer by layer.

    Measured in double precision, so that the statistics do not depend on how many threads sum them.

    Args:
        network: Its running statistics become those of the images.
        images: ``(N, C, H, W)``.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean
        norm.train()
    try:
        with torch.no_grad():
            network.double()(images.double())
    finally:
        network.float()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
