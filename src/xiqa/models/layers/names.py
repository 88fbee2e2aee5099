"""Which layers to explain: the last one that has places, and one a stage.

For the families that NormGrad for image quality was published with, the names are those of its authors; for
other networks of timm and torchvision they follow the stages, as long as patches reach the output there; for
any other module one pass shows where the resolution changes and where the last patches count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from xiqa.errors import ModelError
from xiqa.models.layers.places import Layout, itself
from xiqa.models.layers.trunk import Seen, survey
from xiqa.models.layers.volumes import layouts_of_either

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
    root = itself(network)
    certain = _first(root, _resnet, _evidence, _stage, _efficientnet)
    if certain is not None:
        return certain
    likely = _first(root, _transformer, _features, _timm)
    if images is None and likely is not None:
        return likely
    if root not in _traced:
        if images is None:
            raise ModelError(
                f"the layers of {type(root).__name__} are not known",
                todo="name them, or give an image to find them with",
            )
        fits = likely is not None and _confirmed(network, likely, images[:1])
        _traced[root] = likely if likely is not None and fits else _trace(network, images[:1])
    return _traced[root]


def _first(network: nn.Module, *families: Callable[[nn.Module], TargetLayers | None]) -> TargetLayers | None:
    return next((layers for family in families if (layers := family(network)) is not None), None)


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


# They give no features of their own: pools, and what a projection inside a block hands on.
_POOLS = (
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    *(nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool3d),
)
_INNER = (nn.Linear, nn.Dropout, nn.Identity)
_A_FEW = 0.05
_MOST = 24  # layers whose places are looked for


def _trace(network: nn.Module, images: Tensor) -> TargetLayers:
    """The last layer from which patches still reach the output, and the last at each resolution before it.

    Layers on the trunk (`xiqa.models.layers.trunk`) come first: one branch of several is not what the network
    sees. Where branches never meet, as in CrossViT, the last ones in any of them count.
    """
    noise = torch.randn(images[:1].shape, generator=torch.Generator().manual_seed(0)).to(images)
    seen = _without_pools([layer for layer in survey(network, noise) if _may_have_places(layer)])
    trunk = _with_places(network, _spread([layer for layer in seen if layer.trunk]), images[:1])
    if trunk and seen.index(trunk[-1][0]) >= len(seen) // 2:
        return _by_resolution(trunk)
    branches = _with_places(network, _spread(seen), images[:1])
    if branches or trunk:
        return _by_resolution(branches or trunk)
    raise ModelError(
        f"{type(network).__name__} has no layer with places",
        expected="a layer with feature maps or tokens that follow the image's rows and columns",
        todo="name the layers",
    )


def _may_have_places(seen: Seen) -> bool:
    several = seen.output.dim() == 3 or (seen.output.dim() > 3 and seen.output[0, 0].numel() > 1)
    return several and not isinstance(seen.module, _INNER) and _share(seen.grad) > _A_FEW


def _share(grad: Tensor | None) -> float:
    """Which part of an output has a gradient; that of a class token alone is a few hundredths."""
    return 0.0 if grad is None else float((grad != 0).double().mean())


def _without_pools(seen: list[Seen]) -> list[Seen]:
    """Layers but for pools and what only passes a pool's output on."""
    pooled = [layer.output for layer in seen if isinstance(layer.module, _POOLS)]
    return [layer for layer in seen if not any(_equal(layer.output, pool) for pool in pooled)]


def _equal(first: Tensor, other: Tensor) -> bool:
    return first.shape == other.shape and torch.equal(first, other)


def _spread(seen: list[Seen]) -> list[Seen]:
    """The last layers of each shape, a few of each: the end and the quarters."""
    shapes: dict[tuple[int, ...], list[Seen]] = {}
    for layer in seen:
        same = shapes.setdefault(tuple(layer.output.shape), [])
        if same and _equal(same[-1].output, layer.output):
            same.pop()  # a block and its last layer are one: the block
        same.append(layer)
    picked = []
    for same in shapes.values():
        ends = {len(same) * part // 4 - 1 for part in (1, 2, 3, 4)} | {len(same) - 2}
        picked += [same[place] for place in sorted(ends) if place >= 0]
    return sorted(picked, key=seen.index)[-_MOST:]


def _with_places(network: nn.Module, seen: list[Seen], image: Tensor) -> list[tuple[Seen, Layout]]:
    """The layers whose places are known and reach the output."""
    known = layouts_of_either(network, {layer.name: layer.output for layer in seen}, image)
    return [
        (layer, layout)
        for layer in seen
        if (layout := known[layer.name]) is not None and _reaches(layer, layout)
    ]


def _reaches(seen: Seen, layout: Layout) -> bool:
    """Whether places of a layer have a gradient; behind a maximum not all of them do."""
    assert seen.grad is not None
    return layout.index.numel() > 1 and bool(
        (layout.arrange(seen.grad) != 0).any(dim=1).double().mean() > 0.1
    )


def _by_resolution(found: list[tuple[Seen, Layout]]) -> TargetLayers:
    ended: dict[tuple[int, ...], str] = {}
    for seen, layout in found:
        size = tuple(layout.index.shape)
        ended.pop(size, None)  # shallow to deep by the last call
        ended[size] = seen.name
    names = tuple(ended.values())
    if len(names) == 1:  # one resolution: the quarters of the depth
        depth = len(found)
        picked = dict.fromkeys(max(0, round(depth * part / 4) - 1) for part in (1, 2, 3, 4))
        names = tuple(found[place][0].name for place in picked)
    return TargetLayers(names[-1], tuple(dict.fromkeys(names[-4:])))


def _confirmed(network: nn.Module, layers: TargetLayers, image: Tensor) -> bool:
    """Whether the layers of a family have places that reach the output in this network."""
    names = {layers.last, *layers.stages}
    seen = [layer for layer in survey(network, image) if layer.name in names and layer.grad is not None]
    return len({layer.name for layer, _ in _with_places(network, seen, image)}) == len(names)
