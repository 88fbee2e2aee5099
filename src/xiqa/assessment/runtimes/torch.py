"""A loaded bundle on PyTorch: probability, map and the guard's distance from one forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xiqa.assessment.reading import Source, read_ahead
from xiqa.assessment.runtime import Inference
from xiqa.assessment.runtimes.folding import folded
from xiqa.errors import ImageReadError, SaliencyError
from xiqa.models.layers import TargetLayers
from xiqa.models.outputs import is_plain, target_of
from xiqa.saliency.capture import Rule
from xiqa.saliency.engine import attribute
from xiqa.saliency.engine import explain as explain_tensors
from xiqa.saliency.registry import Bound, Kind, Method, Needs, bind
from xiqa.saliency.state import evaluating

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xiqa.geometry import Frame
    from xiqa.models import LoadedModel
    from xiqa.models.card import BundleCard
    from xiqa.saliency.targets import Target
    from xiqa.types import FloatArray, Image, SaliencyMap

__all__ = ["TorchRuntime", "explain_batch"]


class TorchRuntime:
    """See `xiqa.assessment.runtime.Runtime`.

    Args:
        model: The bundle; runs where its weights are.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model, self.card = model, model.card
        self.guard_limit: float | None = model.guard.threshold if model.guard else None
        self.versions: Mapping[str, str] = {"runtime": f"torch {torch.__version__}"}

    def prepare(self, image: Image) -> tuple[FloatArray, Frame]:
        """The network's input for one image, and the frame that leads back to it."""
        return self.model.prepare(image)

    def resolve(self, method: Method | str | None) -> Method:
        """The method to use, the card's own for None."""
        return bind(method or self.card.method).method

    def infer(self, batch: FloatArray, method: Method) -> Inference:
        """Everything from one forward pass where the method makes one on the images as they are."""
        bound = bind(method)
        network = self._network(bound)
        images = torch.from_numpy(batch).to(next(network.parameters()).device)
        images = images.contiguous(memory_format=torch.channels_last)
        plain = is_plain(self.card)
        target: Target = self.card.poor_class
        with evaluating(network), self._first_pass(network) as seen:
            if not plain or not _one_plain_pass(bound):
                with torch.inference_mode():
                    network(images)
            if not plain:  # what to explain follows from the outputs
                target = torch.from_numpy(self.model.read(seen["logits"]).targets)
            (maps,) = attribute(
                network,
                images,
                bound.method,
                target=target,
                layers=named_layers(self.card),
                multilabel=self.card.outputs.task != "classes",
            ).values()
        guard, features = self.model.guard, seen.get("features")
        distances = None if guard is None or features is None else guard.distances(features).cpu().numpy()
        reading = self.model.read(seen["logits"])
        told = None if plain else reading
        return Inference(reading.probabilities, maps.float().cpu().numpy(), distances, told)

    def _network(self, bound: Bound) -> nn.Module:
        """The folded network for methods that read gradients at the card's own layers or at the image."""
        network, card = self.model.network, self.card
        ours = bound.params.get("layers", "last") in ("last", "multi")
        if (
            not ours
            or bound.rule is not None
            or not _one_plain_pass(bound)
            or Needs.NETWORK in bound.info.needs
        ):
            return network
        names = dict.fromkeys((card.layers.last, *card.layers.multi, *card.guard_layers))
        return folded(network, tuple(names), card.preprocessing.shape) or network

    @contextmanager
    def _first_pass(self, network: nn.Module) -> Iterator[dict[str, Tensor]]:
        """Keep logits and the guard's features of the first forward pass made inside the block."""
        guard = self.model.guard
        seen: dict[str, Tensor] = {}
        tapped: AbstractContextManager[Any] = guard.tap(network) if guard else nullcontext()
        with tapped as tap:

            def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
                if not seen:
                    seen["logits"] = output.detach().clone()
                    if tap is not None:
                        seen["features"] = tap.features

            handle = network.register_forward_hook(keep)
            try:
                yield seen
            finally:
                handle.remove()


def _one_plain_pass(bound: Bound) -> bool:
    """Whether a method's first pass is one on the very images, under no rule that changes it."""
    return bound.info.kind in (Kind.LAYER, Kind.IMAGE) and not (bound.rule or Rule()).own_forward


def named_layers(card: BundleCard) -> TargetLayers:
    """The layers that the card names for last-layer and multi-layer maps."""
    return TargetLayers(card.layers.last, card.layers.multi)


def explain_batch(
    model: LoadedModel,
    images: Iterable[Source],
    methods: Method | str | Sequence[Method | str],
    target: int | str | None = None,
    batch_size: int = 8,
) -> dict[str, list[SaliencyMap]]:
    """See `xiqa.explain`."""
    card = model.card
    chosen = [methods] if isinstance(methods, (str, Method)) else list(methods)
    texts = [str(bind(method).method) for method in chosen]
    found: dict[str, list[SaliencyMap]] = {text: [] for text in texts}
    explained = _target(card, target)
    reading = read_ahead(images, model.prepare, ahead=batch_size)
    while batch := list(islice(reading, batch_size)):
        for prepared in batch:
            if prepared.problem:
                raise ImageReadError(prepared.problem)
        arrays = np.stack([one.array for one in batch if one.array is not None])
        maps = explain_tensors(
            model.network,
            torch.from_numpy(arrays).to(next(model.network.parameters()).device),
            texts,
            target=_likeliest(model, arrays) if target is None and not is_plain(card) else explained,
            layers=named_layers(card),
            multilabel=card.outputs.task != "classes",
            frames=[one.frame for one in batch],
        )
        for text, some in maps.items():
            found[text].extend(some)
    return found


def _likeliest(model: LoadedModel, arrays: FloatArray) -> Tensor:
    """What speaks for each prepared image's likeliest problem."""
    network = model.network
    with torch.inference_mode(), evaluating(network):
        logits = network(torch.from_numpy(arrays).to(next(network.parameters()).device))
    return torch.from_numpy(model.read(logits).targets)


def _target(card: BundleCard, target: int | str | None) -> Any:
    """The explained class as the engine takes it."""
    if target is None:
        return card.poor_class
    if isinstance(target, str) and target != "predicted":
        if not is_plain(card) and target in card.problems:
            return target_of(card, card.problems.index(target))
        if target not in card.classes:
            names = ", ".join(card.classes)
            raise SaliencyError("no such class", expected=f"{names} or predicted", got=repr(target))
        return card.classes.index(target)
    return target
