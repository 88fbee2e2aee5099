"""Which layers to explain: the last one that has places, and one a stage.

For the families that NormGrad for image quality was published with, the names are those of its authors; for
other networks of timm and torchvision they follow the stages; for any other module one forward pass
shows where the resolution changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from xiqa.errors import ModelError

__all__ = ["TargetLayers", "target_layers"]


@dataclass(frozen=True)
class TargetLayers:
    """Names for ``network.get_submodule``.

    Attributes:
        last: The deepest layer with places, for ``layers="last"``.
        stages: Shallow to deep, one a stage and the last, for ``layers="multi"``.
    """

    last: str
    stages: tuple[str, ...]


_traced: WeakKeyDictionary[nn.Module, TargetLayers] = WeakKeyDictionary()


def target_layers(network: nn.Module, images: Tensor | None = None) -> TargetLayers:
    """The layers of a network that are explained unless others are named.

    Args:
        network: Any module that maps images to logits.
        images: ``(N, C, H, W)``, needed only for networks of no known family.

    Raises:
        ModelError: No layer has places, or a forward pass is needed and no image given.

    >>> import xiqa._torchvision, timm
    >>> target_layers(timm.create_model("resnet18")).stages
    ('layer2.0', 'layer3.0', 'layer4.0', 'layer4.1')
    """
    for family in (_resnet, _evidence, _stage, _efficientnet, _transformer, _features, _timm):
        layers = family(network)
        if layers is not None:
            return layers
    if network not in _traced:
        if images is None:
            raise ModelError(
                f"the layers of {type(network).__name__} are not known",
                todo="name them, or give an image to find them with",
            )
        _traced[network] = _trace(network, images[:1])
    return _traced[network]


def _children(module: object) -> list[str]:
    return [name for name, _ in module.named_children()] if isinstance(module, nn.Module) else []


def _resnet(network: nn.Module) -> TargetLayers | None:
    """ResNets of timm and torchvision: as published."""
    stages = [getattr(network, f"layer{number}", None) for number in (1, 2, 3, 4)]
    if not all(isinstance(stage, nn.Sequential) and len(stage) for stage in stages):
        return None
    last = f"layer4.{_children(stages[3])[-1]}"
    return TargetLayers(last, tuple(dict.fromkeys(("layer2.0", "layer3.0", "layer4.0", last))))


def _evidence(network: nn.Module) -> TargetLayers | None:
    """The evidence network: what its evidence is read from."""
    laterals = getattr(network, "laterals", None)
    if not isinstance(laterals, nn.ModuleList) or not hasattr(network, "fuse"):
        return None
    return TargetLayers("fuse", (*(f"laterals.{number}" for number in range(len(laterals))), "fuse"))


def _stage(network: nn.Module) -> TargetLayers | None:
    """A linear head on one stage, with an attention branch or without: the features as the head sees them."""
    if not isinstance(getattr(network, "attended", None), nn.Identity):
        return None
    return TargetLayers("attended", ("attended",))


def _efficientnet(network: nn.Module) -> TargetLayers | None:
    """Timm's EfficientNets and MobileNets: as published; ``bn2`` includes the activation."""
    if not all(hasattr(network, name) for name in ("conv_stem", "blocks", "conv_head")):
        return None
    blocks = tuple(f"blocks.{name}.0" for name in _children(network.blocks))
    if not hasattr(network, "bn2"):  # MobileNetV3 pools before its head
        stage = _children(network.blocks)[-1]
        last = f"blocks.{stage}.{_children(network.get_submodule(f'blocks.{stage}'))[-1]}"
        return TargetLayers(last, tuple(dict.fromkeys(("conv_stem", *blocks, last))))
    return TargetLayers("bn2", ("conv_stem", *blocks, "conv_head"))


def _transformer(network: nn.Module) -> TargetLayers | None:
    """Vision transformers: the last block's input norm, behind which patches still reach the class token."""
    if not hasattr(network, "patch_embed") or not isinstance(getattr(network, "blocks", None), nn.Sequential):
        return None
    blocks = _children(network.blocks)
    if not all(hasattr(network.get_submodule(f"blocks.{name}"), "norm1") for name in blocks):
        return None
    picked = [blocks[len(blocks) * part // 4 - 1] for part in (1, 2, 3, 4) if len(blocks) * part // 4]
    names = tuple(dict.fromkeys(f"blocks.{name}.norm1" for name in picked))
    return TargetLayers(names[-1], names)


def _features(network: nn.Module) -> TargetLayers | None:
    """Networks whose ``features`` are one chain: torchvision's, and timm's VGG and DenseNet."""
    features = getattr(network, "features", None)
    if not isinstance(features, nn.Sequential) or len(features) == 0:
        return None
    names = _children(features)
    if hasattr(features, "denseblock1"):
        blocks = tuple(f"features.{name}" for name in names if name.startswith("denseblock"))
        return TargetLayers("features.norm5", (*blocks[1:-1], "features.norm5"))
    if any(isinstance(child, nn.MaxPool2d) for child in features):
        pools = [place for place, child in enumerate(features) if isinstance(child, nn.MaxPool2d) and place]
        ends = [place - 1 for place in pools] + [len(names) - 1]
        deep = [place for place in ends if not isinstance(features[place], nn.MaxPool2d)]
        stages = tuple(f"features.{names[place]}" for place in deep[-4:])
        return TargetLayers(stages[-1], stages)
    if all(isinstance(child, nn.Sequential) for child in features):
        first = tuple(f"features.{name}.{_children(features.get_submodule(name))[0]}" for name in names)
        last = f"features.{names[-1]}"
        leaf = _children(features.get_submodule(names[-1]))[-1]
        return TargetLayers(f"{last}.{leaf}", tuple(dict.fromkeys((*first, f"{last}.{leaf}"))))
    return None


def _timm(network: nn.Module) -> TargetLayers | None:
    """Whatever else timm builds, by its ``feature_info``."""
    info: Any = getattr(network, "feature_info", None)
    if not isinstance(info, list) or not all(isinstance(stage, dict) and "module" in stage for stage in info):
        return None
    known = dict(network.named_modules())
    names = tuple(str(stage["module"]) for stage in info if stage["module"] in known)
    return TargetLayers(names[-1], names[-4:]) if names else None


_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


def _trace(network: nn.Module, images: Tensor) -> TargetLayers:
    """The last module that ends at each resolution, but for pools and what only passes a pool's output on."""
    ended: dict[tuple[int, int], str] = {}
    pooled: list[Tensor] = []

    def look(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if not isinstance(output, Tensor) or output.dim() != 4 or output[0, 0].numel() == 1:
                return
            if isinstance(module, _POOLS):
                pooled.append(output)
            elif not any(output is one for one in pooled):
                size = (int(output.shape[-2]), int(output.shape[-1]))
                ended.pop(size, None)  # shallow to deep by the last call
                ended[size] = name

        return hook

    handles = [module.register_forward_hook(look(name)) for name, module in network.named_modules() if name]
    try:
        with torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    names = tuple(ended.values())
    if not names:
        raise ModelError(
            f"{type(network).__name__} has no layer with places",
            expected="a module that gives (N, C, h, w)",
            todo="name the layers",
        )
    return TargetLayers(names[-1], names[-4:])
