"""Maps of any network: what `xiqa.explain` does with a plain ``nn.Module``, or with layers of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from xiqa.assessment.reading import Source, arrays_of, read_ahead, several
from xiqa.assessment.runtimes.torch import TorchRuntime, named_layers
from xiqa.errors import ConfigError, SaliencyError
from xiqa.models.bundle import LoadedModel
from xiqa.models.layers import TargetLayers
from xiqa.saliency.engine import explain

if TYPE_CHECKING:
    from xiqa.geometry import Frame
    from xiqa.models.preprocess import Preprocessing
    from xiqa.saliency.method import Method
    from xiqa.types import SaliencyMap

__all__ = ["explain_network"]

BATCH = 8


def explain_network(
    model: Any,
    images: Source | Iterable[Source],
    methods: Sequence[Method | str],
    target: Any = None,
    layers: str | Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> dict[str, list[SaliencyMap]]:
    """See `xiqa.explain`."""
    if isinstance(model, LoadedModel):
        model = TorchRuntime(model)
    chosen, multilabel = _layers(layers), False
    if isinstance(model, TorchRuntime):
        card, network = model.card, model.model.network
        target, chosen = model.explained(target), chosen or named_layers(card)
        multilabel, preprocessing = card.outputs.task != "classes", preprocessing or card.preprocessing
    elif isinstance(model, nn.Module):
        network, target = model, "predicted" if target is None else target
    else:
        raise SaliencyError(
            "this cannot be explained by layers",
            expected="a torch.nn.Module, a loaded model or a bundle",
            got=type(model).__name__,
        )
    maps: dict[str, list[SaliencyMap]] = {}
    done = 0
    for batch, frames in _batches(network, images, preprocessing):
        part = _part(target, done, len(batch))
        results = explain(
            network, batch, methods, target=part, layers=chosen, frames=frames, multilabel=multilabel
        )
        for text, rows in results.items():
            maps.setdefault(text, []).extend(rows)
        done += len(batch)
    return maps


def _part(target: Any, start: int, count: int) -> Any:
    """The classes of one batch, where each image has its own."""
    each = isinstance(target, Tensor) and target.ndim == 1
    return target[start : start + count] if each else target


def _layers(names: str | Sequence[str] | None) -> TargetLayers | None:
    """The named layers as both the last one and all of them."""
    if names is None:
        return None
    stages = (names,) if isinstance(names, str) else tuple(names)
    if not stages:
        raise SaliencyError("no layer is named", expected="a name or several of network.named_modules()")
    return TargetLayers(stages[-1], stages)


def _batches(
    network: nn.Module, images: Source | Iterable[Source], preprocessing: Preprocessing | None
) -> Iterator[tuple[Tensor, list[Frame | None]]]:
    """Inputs where the network is, with the frames that lead back to the images."""
    parameter = next(network.parameters(), torch.zeros(()))
    if isinstance(images, Tensor) and images.ndim == 4 and preprocessing is None:
        for batch in images.split(BATCH):
            yield batch.to(parameter.device), [None] * len(batch)
        return
    if preprocessing is None:
        raise ConfigError(
            "nothing says how this network takes images",
            expected="a tensor (N, C, H, W), its input as it is, or preprocessing=",
            todo="xiqa.models.preprocess.Preprocessing(size=(224, 224), mean=(...), std=(...)) for one",
        )
    reading = read_ahead(several(images), preprocessing.prepare, ahead=BATCH)
    while prepared := list(islice(reading, BATCH)):
        batch = torch.from_numpy(np.stack(arrays_of(prepared)))
        yield batch.to(parameter.device), [row.frame for row in prepared]
