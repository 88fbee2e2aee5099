"""A loaded bundle on PyTorch: probability, map and the guard's distance from one forward pass."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from xiqa.assessment.reading import Source, arrays_of, read_ahead
from xiqa.assessment.runtime import Inference
from xiqa.assessment.runtimes.folding import folded
from xiqa.errors import SaliencyError
from xiqa.models.guard import pooled
from xiqa.models.layers import TargetLayers
from xiqa.models.outputs import is_plain, target_of
from xiqa.saliency.capture import Watch
from xiqa.saliency.engine import attribute
from xiqa.saliency.engine import explain as explain_tensors
from xiqa.saliency.registry import Bound, Method, bind
from xiqa.saliency.targets import FromLogits

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xiqa.geometry import Frame
    from xiqa.models import LoadedModel
    from xiqa.models.card import BundleCard
    from xiqa.models.guard import Guard
    from xiqa.saliency.targets import Target
    from xiqa.types import FloatArray, Image, SaliencyMap

__all__ = ["TorchRuntime", "guard_watch", "named_layers"]

# A forked process has none of its parent's threads, for which PyTorch would wait for ever: it works with one.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class TorchRuntime:
    """See `xiqa.assessment.runtime.Runtime`. Several threads may use one at once.

    Args:
        model: The bundle; runs where its weights are.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model, self.card = model, model.card
        self.guard_limit: float | None = model.guard.threshold if model.guard else None
        self.versions: Mapping[str, str] = {"runtime": f"torch {torch.__version__}"}
        self._watch = guard_watch(model.guard)
        self._lock, self._folded = threading.Lock(), False
        self._quick: nn.Module = model.network

    @property
    def device(self) -> str:
        """Where the weights are."""
        return str(next(self.model.network.parameters()).device)

    @property
    def threads(self) -> int:
        """PyTorch's threads inside one operation."""
        return torch.get_num_threads()

    def prepare(self, image: Image) -> tuple[FloatArray, Frame]:
        """The network's input for one image, and the frame that leads back to it."""
        return self.model.prepare(image)

    def resolve(self, method: Method | str | None) -> Method:
        """The method to use, the card's own for None."""
        return bind(method or self.card.method).method

    def infer(self, batch: FloatArray, method: Method) -> Inference:
        """Everything from one forward pass where the method makes one on the images as they are."""
        bound, guard, images = bind(method), self.model.guard, self._tensor(batch)
        seen = attribute(
            self._network(bound),
            images,
            bound.method,
            target=self.explained(None),
            layers=named_layers(self.card),
            multilabel=self.card.outputs.task != "classes",
            watch=self._watch,
        )
        text = str(bound.method)
        assert seen.logits is not None
        reading = self.model.read(seen.logits)
        distances = None if guard is None else guard.distances(guard.join(seen.features)).cpu().numpy()
        return Inference(
            reading.probabilities,
            seen[text].float().cpu().numpy(),
            seen.targets[text].cpu().numpy(),
            seen.params[text],
            distances,
            None if is_plain(self.card) else reading,
            None if self.model.view is None else self.model.view.probabilities(images).cpu().numpy(),
        )

    def explain(
        self,
        images: Iterable[Source],
        methods: Sequence[Method | str],
        target: int | str | None = None,
        batch_size: int = 8,
    ) -> dict[str, list[SaliencyMap]]:
        """See `xiqa.explain`."""
        texts = [str(bind(method).method) for method in methods]
        results: dict[str, list[SaliencyMap]] = {text: [] for text in texts}
        explained = self.explained(target)
        reading = read_ahead(images, self.prepare, ahead=batch_size)
        while batch := list(islice(reading, batch_size)):
            maps = explain_tensors(
                self.model.network,
                self._tensor(np.stack(arrays_of(batch))),
                texts,
                target=explained,
                layers=named_layers(self.card),
                multilabel=self.card.outputs.task != "classes",
                frames=[prepared.frame for prepared in batch],
            )
            for text, rows in maps.items():
                results[text].extend(rows)
        return results

    def _tensor(self, batch: FloatArray) -> Tensor:
        """Prepared images where the network is, channels last as its kernels take them."""
        images = torch.from_numpy(batch).to(self.device)
        return images.contiguous(memory_format=torch.channels_last)

    def _network(self, bound: Bound) -> nn.Module:
        """The network, or the same function in fewer operations where the method allows it; folded once."""
        if not bound.foldable:
            return self.model.network
        with self._lock:
            if not self._folded:
                card = self.card
                names = dict.fromkeys((card.layers.last, *card.layers.multi, *card.guard_layers))
                copy = folded(self.model.network, tuple(names), card.preprocessing.shape)
                self._quick, self._folded = self.model.network if copy is None else copy, True
        return self._quick

    def explained(self, target: int | str | None) -> Target:
        """The explained class as the engine takes it; without one the poor class or the likeliest problem."""
        card = self.card
        if target is None and not is_plain(card):
            return FromLogits(self._likeliest)
        return _named_target(card, target)

    def _likeliest(self, logits: Tensor) -> Tensor:
        """What speaks for each image's likeliest problem."""
        return torch.from_numpy(self.model.read(logits).targets).to(logits.device)


def guard_watch(guard: Guard | None) -> Watch:
    """What of a pass the guard looks at."""
    return Watch(guard.layers if guard else (), pooled)


def named_layers(card: BundleCard) -> TargetLayers:
    """The layers that the card names for last-layer and multi-layer maps."""
    return TargetLayers(card.layers.last, card.layers.multi)


def _named_target(card: BundleCard, target: int | str | None) -> Target:
    """The explained class, by index or name."""
    if target is None:
        return card.poor_class
    if isinstance(target, str) and target != "predicted":
        if not is_plain(card) and target in card.problems:
            return target_of(card, card.problems.index(target))
        if target not in card.classes:
            names = ", ".join(card.classes)
            raise SaliencyError("no such class", expected=f"{names} or predicted", got=repr(target))
        return card.classes.index(target)
    return cast("Target", target)
