"""Networks by name: timm's, torchvision's, and the evidence network on top of timm's."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal, cast

import torch

import xiqa._torchvision  # noqa: F401 - lets timm and torchvision load beside a CPU-only torch
from xiqa.errors import ModelError
from xiqa.models.architecture import Architecture
from xiqa.models.heads.attention import AttentionNet, StageNet
from xiqa.models.heads.evidence import EvidenceNet
from xiqa.models.heads.pooled import OrderedLinear, PooledMLP, replace_last_linear
from xiqa.models.pretrained import PACKAGES, load_imagenet

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Architecture", "build_network"]

MOST_CELLS = 1 << 20  # of the mlp head, times channels times four bytes: gigabytes

ONE_STAGE: dict[str, type[StageNet]] = {"stage": StageNet, "lficam": AttentionNet}
"""Heads that read one of timm's stages."""


def build_network(
    architecture: Architecture, *, weights: Literal["none", "imagenet", "hub"] = "none"
) -> nn.Module:
    """Build a network, in evaluation mode.

    Args:
        architecture: What to build.
        weights: ``imagenet``: ImageNet weights of an installed package where there is one, else of the
            library's hub; ``hub``: of the library's hub; ``none``: random.

    Returns:
        The network; `EvidenceNet` for the evidence head, `PooledMLP` for the mlp head, `StageNet` for the
        stage head, `AttentionNet` for the lficam head; with an `OrderedLinear` in the end where there are
        grades.

    Raises:
        ModelError: An unknown backbone, an option it does not have, or weights that cannot be had.

    >>> sum(p.numel() for p in build_network(Architecture(backbone="resnet18")).parameters())
    11177538
    """
    _check_heads(architecture)
    if architecture.library == "torchvision":
        return _with_grades(_torchvision_network(architecture, weights), architecture).eval()
    import timm  # noqa: PLC0415 - takes a second

    if not timm.is_model(architecture.backbone):
        near = timm.list_models(f"*{architecture.backbone[:6]}*")[:8]
        raise ModelError(
            f"timm has no network {architecture.backbone!r}", todo=f"one of {', '.join(near)}, ..."
        )
    offline = weights == "imagenet" and architecture.backbone in PACKAGES
    options: dict[str, Any] = (
        {} if architecture.output_stride == 32 else {"output_stride": architecture.output_stride}
    )
    pretrained = weights != "none" and not offline
    kind = ONE_STAGE.get(architecture.head)
    try:
        if architecture.head == "pooled":
            network = timm.create_model(
                architecture.backbone, pretrained=pretrained, num_classes=architecture.classes, **options
            )
            body = network
        elif architecture.head == "mlp":
            body = timm.create_model(
                architecture.backbone, pretrained=pretrained, num_classes=0, global_pool="", **options
            )
            if hasattr(body, "pre_logits"):  # VGG keeps its own dense layers otherwise
                body.pre_logits = torch.nn.Identity()
            network = _pooled_mlp(body, architecture)
        else:
            body = timm.create_model(
                architecture.backbone,
                pretrained=pretrained,
                features_only=True,
                out_indices=architecture.stages[-1:] if kind else architecture.stages,
                **options,
            )
            channels = cast("Any", body.feature_info).channels()
            if kind:
                _cut(body)
                network = kind(body, channels, architecture.classes)
            else:
                network = EvidenceNet(body, channels, architecture.width, architecture.sharpness)
    except (NotImplementedError, TypeError, RuntimeError, AssertionError) as error:
        raise ModelError(f"cannot build {architecture.backbone}", got=str(error)) from error
    except Exception as error:  # a hub's errors are of many types
        if not pretrained:
            raise
        raise _no_weights(architecture.backbone, error) from error
    if offline:
        _copy_imagenet(architecture.backbone, body)
    return _with_grades(network, architecture).eval()


def _cut(body: nn.Module) -> None:
    """Take away the blocks behind the last wanted stage; timm's EfficientNets would pass through them."""
    wanted = str(cast("Any", body.feature_info).module_name()[-1])
    chain, _, place = wanted.rpartition(".")
    blocks = getattr(body, chain, None)
    if isinstance(blocks, torch.nn.Sequential) and place.isdigit():
        setattr(body, chain, blocks[: int(place) + 1])


def _check_heads(architecture: Architecture) -> None:
    """Refuse heads that contradict themselves, whatever the library."""
    if architecture.head == "evidence" and (architecture.classes != 2 or architecture.grades):
        raise ModelError("the evidence head tells poor from good", expected="2 classes and no grades")
    if architecture.head == "mlp" and architecture.input_size is None:
        raise ModelError("the mlp head is made for one size of image", expected="input_size")
    grades = architecture.grades
    if grades and (grades < 2 or architecture.classes % (grades - 1)):
        raise ModelError(
            "grades and outputs do not agree",
            expected="grades - 1 outputs for every score",
            got=f"{grades} grades and {architecture.classes} outputs",
        )


def _with_grades(network: nn.Module, architecture: Architecture) -> nn.Module:
    """The network with an ordered head where the architecture has grades."""
    grades = architecture.grades
    if not grades:
        return network
    scores = architecture.classes // (grades - 1)
    return replace_last_linear(network, lambda features: OrderedLinear(features, scores, grades))


def _pooled_mlp(body: nn.Module, architecture: Architecture) -> PooledMLP:
    """The perceptron head on a body's feature maps."""
    assert architecture.input_size is not None
    cells = math.prod(-(-side // (8 * architecture.pool)) for side in architecture.input_size)
    if cells * architecture.hidden > MOST_CELLS:
        raise ModelError(
            "the mlp head has no end",
            expected=f"at most {MOST_CELLS} cells times neurons",
            got=f"{cells} cells and {architecture.hidden} neurons",
        )
    return PooledMLP(
        body,
        architecture.input_size,
        classes=architecture.classes,
        pool=architecture.pool,
        hidden=architecture.hidden,
    )


def _no_weights(name: str, error: Exception) -> ModelError:
    """What to do when no hub can be reached."""
    return ModelError(
        f"cannot get the pretrained weights of {name}",
        got=f"{type(error).__name__}: {error}".partition("\n")[0],
        todo=f"connect to a network, take pretrained = false, or a backbone whose weights can be "
        f"installed ({', '.join(sorted(PACKAGES))})",
    )


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

    if architecture.head in ("evidence", *ONE_STAGE) or architecture.output_stride != 32:
        raise ModelError("only timm backbones take an evidence, stage or lficam head, or an output stride")
    try:
        chosen = None if weights == "none" else "DEFAULT"
        network = models.get_model(architecture.backbone, weights=chosen)
    except ValueError as error:
        raise ModelError(f"torchvision has no network {architecture.backbone!r}") from error
    except Exception as error:  # a hub's errors are of many types
        if weights == "none":
            raise
        raise _no_weights(architecture.backbone, error) from error
    if architecture.head == "mlp":
        return _pooled_mlp(_torchvision_features(network), architecture)
    return replace_last_linear(network, lambda inputs: torch.nn.Linear(inputs, architecture.classes))


def _torchvision_features(network: nn.Module) -> nn.Module:
    """The part of a torchvision network that gives its last feature map."""
    from torchvision import models  # noqa: PLC0415 - takes a second

    if isinstance(getattr(network, "features", None), torch.nn.Sequential):
        features = cast("torch.nn.Sequential", network.features)
        if isinstance(network, models.DenseNet):  # its last activation lies in its forward
            features.append(torch.nn.ReLU())
        return features
    if isinstance(network, models.ResNet):
        return torch.nn.Sequential(
            OrderedDict((n, m) for n, m in network.named_children() if n not in ("avgpool", "fc"))
        )
    raise ModelError(
        f"the feature map of {type(network).__name__} is not known", todo="take the backbone from timm"
    )
