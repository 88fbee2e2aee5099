"""Plan, capture once, read many: maps of any number of methods from as few passes as they need.

`attribute` gives raw maps as tensors, `explain` gives each as a `SaliencyMap` that says how to make it again.
All methods together share one forward pass, and one backward pass for each backward rule and target that
differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from xiqa.errors import SaliencyError
from xiqa.models.layers import TargetLayers
from xiqa.saliency.capture import Watch
from xiqa.saliency.probe import Probe
from xiqa.saliency.registry import Bound, Method, bind
from xiqa.saliency.session import Session
from xiqa.saliency.state import evaluating
from xiqa.saliency.targets import Target
from xiqa.types import SaliencyMap

if TYPE_CHECKING:
    from xiqa.geometry import Frame

__all__ = ["Captured", "attribute", "explain"]

M = TypeVar("M")


@dataclass(frozen=True, eq=False)
class Captured(Mapping[str, M], Generic[M]):
    """Maps by ``str(method)``, with what else the same passes gave.

    Attributes:
        maps: Each method's maps.
        targets: ``(N,)`` explained classes, by method.
        params: All parameters, with the layers' names in them, by method.
        logits: ``(N, K)`` of the images as they are; None where no method needed them and nobody watched.
        features: Of the watched layers, by name; see `xiqa.saliency.capture.Watch`.
    """

    maps: Mapping[str, M]
    targets: Mapping[str, Tensor]
    params: Mapping[str, Mapping[str, Any]]
    logits: Tensor | None
    features: Mapping[str, Tensor]

    def __getitem__(self, method: str) -> M:
        return self.maps[method]

    def __iter__(self) -> Iterator[str]:
        return iter(self.maps)

    def __len__(self) -> int:
        return len(self.maps)


def attribute(
    network: nn.Module | Probe,
    images: Tensor,
    methods: Sequence[Method | str] | Method | str,
    *,
    target: Target = "predicted",
    layers: TargetLayers | None = None,
    multilabel: bool = False,
    watch: Watch | None = None,
) -> Captured[Tensor]:
    """Raw maps of a batch by several methods.

    Args:
        network: Any module that maps images to logits ``(N, K)``, or a `Probe` on something else, for probe
            methods that need no layer.
        images: ``(N, C, H, W)``, as the network takes them, or volumes ``(N, C, D, H, W)``, for methods that
            declare them.
        methods: Methods, or their texts.
        target: ``"predicted"``, one class for the batch, or ``(N,)`` classes. Of a network whose output is
            something else, a function of that output that gives one score an image ``(N,)``, such as
            ``lambda output: output["logits"][:, 3]``; it counts as the logit of class 1 of a one-logit head.
        layers: What ``layers="last"`` and ``"multi"`` mean; by default `target_layers` of the network.
        multilabel: Whether the classes do not exclude one another, for scores that are probabilities.
        watch: Layers of which features are kept besides; with it, the logits are there in any case.

    Returns:
        Maps ``(N, h, w)``, ``(N, d, h, w)`` of volumes, by ``str(method)``, at the layer's or image's size,
        nothing stretched; with logits, targets and features.

    Raises:
        SaliencyError: An unknown method, parameter, layer or target.
    """
    with _session(network, images, methods, target, layers, multilabel, watch) as (session, bound):
        maps = {str(row.method): session.read(row) for row in bound}
        return _captured(session, bound, maps)


def explain(
    network: nn.Module | Probe,
    images: Tensor,
    methods: Sequence[Method | str] | Method | str,
    *,
    target: Target = "predicted",
    layers: TargetLayers | None = None,
    multilabel: bool = False,
    frames: Sequence[Frame | None] | None = None,
    watch: Watch | None = None,
) -> Captured[list[SaliencyMap]]:
    """The maps of `attribute`, each with its method, parameters, target and frame.

    Args:
        network: See `attribute`.
        images: See `attribute`.
        methods: See `attribute`.
        target: See `attribute`.
        layers: See `attribute`.
        multilabel: See `attribute`.
        frames: How each image's grid follows from the original's.
        watch: See `attribute`.

    Returns:
        One map an image, by ``str(method)``; with logits, targets and features.

    Raises:
        SaliencyError: As `attribute`, or frames that do not fit the batch.
    """
    if frames is not None and len(frames) != len(images):
        raise SaliencyError("frames do not fit the batch", expected=str(len(images)), got=str(len(frames)))
    size = tuple(images.shape[2:])
    results = {}
    with _session(network, images, methods, target, layers, multilabel, watch) as (session, bound):
        for method in bound:
            classes, params = session.classes(method), session.named(method)
            results[str(method.method)] = [
                SaliencyMap(
                    values=values.float().cpu().numpy(),
                    method=method.info.name,
                    target=int(classes[place]),
                    params=params,
                    input_size=size,
                    frame=frames[place] if frames else None,
                    steps=session.steps(method, place),
                )
                for place, values in enumerate(session.read(method))
            ]
        return _captured(session, bound, results)


def _captured(session: Session, bound: Sequence[Bound], maps: Mapping[str, M]) -> Captured[M]:
    """The maps with what the session knows besides."""
    targets = {str(row.method): session.classes(row) for row in bound}
    params = {str(row.method): session.named(row) for row in bound}
    return Captured(maps, targets, params, session.logits, session.features)


@contextmanager
def _session(
    network: nn.Module | Probe,
    images: Tensor,
    methods: Sequence[Method | str] | Method | str,
    target: Target,
    layers: TargetLayers | None,
    multilabel: bool,
    watch: Watch | None,
) -> Iterator[tuple[Session, list[Bound]]]:
    """The passes that the methods need, made in evaluation mode, whatever mode the caller is in."""
    bound = [bind(method) for method in ([methods] if isinstance(methods, (str, Method)) else methods)]
    with torch.inference_mode(False), torch.no_grad(), evaluating(network):
        session = Session(network, images, target, layers, multilabel)
        session.capture(bound, watch)
        yield session, bound
