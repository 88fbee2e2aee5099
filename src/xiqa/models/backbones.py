"""Networks by name: timm's, torchvision's, and the evidence network on top of timm's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import torch

import xiqa._torchvision  # noqa: F401 - lets timm and torchvision load beside a CPU-only torch
from xiqa.errors import ModelError
from xiqa.models.architecture import Architecture
from xiqa.models.evidence import EvidenceNet
from xiqa.models.pretrained import PACKAGES, load_imagenet

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Architecture", "build_network"]


def build_network(
    architecture: Architecture, *, weights: Literal["none", "imagenet", "hub"] = "none"
) -> nn.Module:
    """Build a network, in evaluation mode.

    Args:
        architecture: What to build.
        weights: ``imagenet``: ImageNet weights of an installed package where there is one, else of the
            library's hub; ``hub``: of the library's hub; ``none``: random.

    Returns:
        The network; `EvidenceNet` for the evidence head.

    Raises:
        ModelError: An unknown backbone, an option it does not have, or weights that cannot be had.

    >>> sum(p.numel() for p in build_network(Architecture(backbone="resnet18")).parameters())
    11177538
    """
    if architecture.library == "torchvision":
        return _torchvision_network(architecture, weights)
    import timm  # noqa: PLC0415 - takes a second

    if not timm.is_model(architecture.backbone):
        near = timm.list_models(f"*{architecture.backbone[:6]}*")[:8]
        raise ModelError(
            f"timm has no network {architecture.backbone!r}", todo=f"one of {', '.join(near)}, ..."
        )
    if architecture.head == "evidence" and architecture.classes != 2:
        raise ModelError("the evidence head tells poor from good", expected="2 classes")
    offline = weights == "imagenet" and architecture.backbone in PACKAGES
    options: dict[str, Any] = (
        {} if architecture.output_stride == 32 else {"output_stride": architecture.output_stride}
    )
    pretrained = weights != "none" and not offline
    try:
        if architecture.head == "pooled":
            network = timm.create_model(
                architecture.backbone, pretrained=pretrained, num_classes=architecture.classes, **options
            )
            body = network
        else:
            body = timm.create_model(
                architecture.backbone,
                pretrained=pretrained,
                features_only=True,
                out_indices=architecture.stages,
                **options,
            )
            channels = cast("Any", body.feature_info).channels()
            network = EvidenceNet(body, channels, architecture.width, architecture.sharpness)
    except (NotImplementedError, TypeError, RuntimeError, AssertionError) as error:
        raise ModelError(f"cannot build {architecture.backbone}", got=str(error)) from error
    if offline:
        _copy_imagenet(architecture.backbone, body)
    return network.eval()


def _copy_imagenet(name: str, body: nn.Module) -> None:
    """Copy the packaged ImageNet weights that a (cut or re-headed) timm network shares with the original."""
    import timm  # noqa: PLC0415

    original = timm.create_model(name, num_classes=1000)
    load_imagenet(name, original)
    given, wanted = original.state_dict(), body.state_dict()
    shared = {
        key: value for key, value in given.items() if key in wanted and wanted[key].shape == value.shape
    }
    body.load_state_dict(shared, strict=False)


def _torchvision_network(architecture: Architecture, weights: str) -> nn.Module:
    """A torchvision network with its own head."""
    from torchvision import models  # noqa: PLC0415 - takes a second

    if architecture.head != "pooled" or architecture.output_stride != 32:
        raise ModelError("only timm backbones take an evidence head or an output stride")
    try:
        chosen = None if weights == "none" else "DEFAULT"
        network = models.get_model(architecture.backbone, weights=chosen)
    except ValueError as error:
        raise ModelError(f"torchvision has no network {architecture.backbone!r}") from error
    return _replace_head(network, architecture.classes).eval()


def _replace_head(network: nn.Module, classes: int) -> nn.Module:
    """Give a network's last linear layer another number of outputs."""
    name, last = next(
        ((n, m) for n, m in reversed(list(network.named_modules())) if isinstance(m, torch.nn.Linear)),
        (None, None),
    )
    if name is None or last is None:
        raise ModelError("the network has no linear head", todo="choose another one")
    parent = network.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], torch.nn.Linear(last.in_features, classes))
    return network
