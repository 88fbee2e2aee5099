"""What the exported graph computes: logits, probability, heat map and the guard's distance."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xiqa.errors import SaliencyError
from xiqa.export.closedforms import CLOSED_FORMS, closed_form
from xiqa.models.calibrated import calibrated_log_odds
from xiqa.models.fold import fold_batch_norm
from xiqa.models.guard import pooled
from xiqa.models.outputs import is_plain
from xiqa.saliency.capture import ForwardPass, LayerRecord, Watch
from xiqa.saliency.combine import combine_layers
from xiqa.saliency.registry import Bound, Kind, Needs, methods

if TYPE_CHECKING:
    from xiqa.models import LoadedModel

__all__ = ["cut_layers", "explained", "exportable", "frozen_copy"]


#: Methods that go on until they have converged, which a graph of fixed operations cannot.
_ITERATED = {"eigencam"}


def exportable() -> list[str]:
    """Names of the methods that a graph can hold: pure functions of layers and their gradients."""
    pure = [
        info.name
        for info in methods()
        if info.kind is Kind.LAYER
        and info.rule is None
        and not info.needs & (Needs.NETWORK | Needs.TRAINED)
        and info.name not in _ITERATED
    ]
    return sorted([*pure, *CLOSED_FORMS])


def frozen_copy(model: LoadedModel) -> nn.Module:
    """A copy of the network for tracing: folded, frozen, nothing in place."""
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(1, *model.card.preprocessing.shape, generator=generator)
    network = fold_batch_norm(model.network.cpu(), example)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for module in network.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 - not every module has it
    return network


def explained(model: LoadedModel, method: Bound, *others: Bound) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """The function that becomes the graph.

    Args:
        model: The bundle.
        method: A method whose maps are a pure function of layers.
        *others: More of them, which share its passes.

    Returns:
        From images ``(N, C, H, W)`` to logits ``(N, K)``, the calibrated probability ``(N,)`` of poor
        quality, the raw map ``(N, h, w)`` of the poor class, the guard's distance ``(N,)`` (0 without a
        guard), the view check's probabilities ``(N, V)`` where there is one, the outputs of the
        `cut_layers`, and the other methods' maps.

    Raises:
        SaliencyError: A method needs more than one pass, or a rule that no graph holds; or the model tells
            several problems apart, of which the graph could explain only one.
    """
    if not is_plain(model.card):
        raise SaliencyError(
            f"{model.card.name} cannot be exported",
            expected="a model with one poor class",
            got=f"one that tells apart {', '.join(model.card.problems)}",
            todo="run it on PyTorch",
        )
    every = (method, *others)
    for bound in every:
        _check(bound)
    network, card, guard = frozen_copy(model), model.card, model.guard
    grads = _names(model, [method for method in every if Needs.GRAD in method.info.needs])
    kept = dict.fromkeys([*_names(model, every), *cut_layers(model)])
    view = copy.deepcopy(model.view).requires_grad_(False) if model.view is not None else None
    readers = [_reader(model, network, method) for method in every]
    watch = Watch(guard.layers, pooled) if guard else None
    example = torch.rand(
        1, *card.preprocessing.shape
    )  # where the layers' places are is found before a graph is
    ForwardPass(network, example, list(kept), grad=False).backward(torch.zeros(1).long(), layers=[])

    def run(images: Tensor) -> tuple[Tensor, ...]:
        passed = ForwardPass(network, images, list(kept), grad=grads, watch=watch)
        target = torch.full_like(passed.logits[:, 0], card.poor_class, dtype=torch.long)
        records, _ = passed.backward(target, layers=grads)
        heatmap, *maps = [read(records) for read in readers]
        distance = (
            guard.distances(guard.join(passed.features)) if guard else torch.zeros_like(passed.logits[:, 0])
        )
        return (
            passed.logits,
            calibrated_log_odds(passed.logits, card).sigmoid(),
            heatmap,
            distance,
            *([view(images).softmax(1)] if view is not None else []),
            *(records[name].output for name in cut_layers(model)),
            *maps,
        )

    return run


def _check(method: Bound) -> None:
    """Whether a graph can hold the method."""
    if method.info.name not in exportable():
        why = "a backward rule of its own" if method.info.rule else f"kind {method.info.kind}"
        raise SaliencyError(
            f"{method.info.name} cannot be exported",
            expected=f"one of {', '.join(exportable())}",
            got=why,
            todo="export one of those; probe methods run on any exported graph, the rest on PyTorch",
        )


def _reader(
    model: LoadedModel, network: nn.Module, method: Bound
) -> Callable[[Mapping[str, LayerRecord]], Tensor]:
    """One method's map as a function of the layers' records."""
    card, names = model.card, _layer_names(model, method)
    read: Callable[[LayerRecord], Tensor] = partial(method.info.function, **method.own)
    if method.info.name in CLOSED_FORMS:
        example = torch.rand(1, *card.preprocessing.shape)
        form = closed_form(network, method, names[0], card.poor_class, example)
        read = lambda layer: form(layer.output)  # noqa: E731

    def heatmap(records: Mapping[str, LayerRecord]) -> Tensor:
        maps = [read(records[name]) for name in names]
        return maps[0] if len(maps) == 1 else _combined(maps, method, card.preprocessing.size)

    return heatmap


def _names(model: LoadedModel, methods: Iterable[Bound]) -> list[str]:
    """The layers that any of the methods reads."""
    return list(dict.fromkeys(name for method in methods for name in _layer_names(model, method)))


def cut_layers(model: LoadedModel) -> list[str]:
    """The layers that the card names: where methods that mask features cut the graph."""
    return list(dict.fromkeys([model.card.layers.last, *model.card.layers.multi]))


def _layer_names(model: LoadedModel, method: Bound) -> list[str]:
    named = method.params["layers"]
    layers = model.card.layers
    known = {"last": (layers.last,), "multi": layers.multi}
    return list(known[named] if named in known else named if isinstance(named, tuple) else (str(named),))


def _combined(maps: list[Tensor], method: Bound, size: tuple[int, int]) -> Tensor:
    combine = "reference" if method.params["profile"] == "reference" else str(method.params["combine"])
    return combine_layers(maps, combine, weights=method.params["weights"], image_size=size)
