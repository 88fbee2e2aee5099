"""One batch of films under one network: maps from one shared capture, and every measure of each map."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xiqa.assessment.folding import folded
from xiqa.datasets.phantoms.corrupt import corrupt
from xiqa.errors import ConfigError
from xiqa.experiments.controls import CONTROLS, control_maps
from xiqa.experiments.films import Film, Loaded, truth_of
from xiqa.experiments.networks import Subject, layers_of, network_hash
from xiqa.experiments.placing import on_input, on_original
from xiqa.experiments.recipe import Alteration, Experiment, Measure
from xiqa.imaging.frame import Frame
from xiqa.metrics import MetricInfo, get_metric
from xiqa.metrics.aopc import aopc_curve
from xiqa.metrics.attack_stability import attacked
from xiqa.metrics.insertion_deletion import deletion_curve, insertion_curve
from xiqa.models.bundle import LoadedModel
from xiqa.saliency.combine import enlarge
from xiqa.saliency.engine import explain
from xiqa.saliency.method import Method
from xiqa.saliency.probe import TorchProbe
from xiqa.saliency.registry import bind
from xiqa.saliency.targets import Target
from xiqa.types import FloatArray

__all__ = ["CURVES", "Bench", "Row"]

Row = dict[str, Any]
Maps = Callable[[Tensor], Tensor]

CURVES: dict[str, Callable[..., Any]] = {
    "aopc": aopc_curve,
    "deletion": deletion_curve,
    "insertion": insertion_curve,
}
"""Metrics that are areas of a curve, and the curve."""


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """A film ready for the network."""

    film: Film
    loaded: Loaded
    array: Tensor
    frame: Frame
    row: Row


@dataclass(frozen=True, slots=True, eq=False)
class _Explained:
    """Maps of a batch by one method, and how to make more of them."""

    method: str
    layer: str
    params: str
    profile: str
    state: str
    values: list[FloatArray]
    again: Callable[[int], Maps]


@dataclass(eq=False)
class Bench:
    """What one network is measured with.

    Attributes:
        experiment: The recipe.
        subject: The network's name and state.
        model: The network.
    """

    experiment: Experiment
    subject: Subject
    model: LoadedModel
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        self.hash = network_hash(self.model)
        self._layers = layers_of(self.model)
        card = self.model.card
        names = (card.layers.last, *card.layers.multi)
        quick = folded(self.model.network, names, len(card.preprocessing.mean))
        self._probe = TorchProbe(quick or self.model.network)
        self._measures = [(measure, get_metric(measure.metric)) for measure in self.experiment.measures]

    # --- one batch

    def rows(self, films: Sequence[tuple[int, Film]]) -> list[Row]:
        """Everything that the recipe asks of these films, as long rows.

        Args:
            films: Films, each with its place in the experiment's order.
        """
        batch = [self._prepare(film) for _, film in films]
        places = [place for place, _ in films]
        images = torch.stack([one.array for one in batch])
        logits, clean = self._explain(images, batch)
        found = list(self._verdicts(batch, logits))
        before = {(one.method, one.profile): one.values for one in clean}
        found += self._score(batch, places, images, clean, "none", before)
        for alteration in self.experiment.alterations:
            changed = torch.stack([self._altered(one, alteration) for one in batch])
            logits, maps = self._explain(changed, batch)
            found += self._changed_verdicts(batch, logits, alteration.name)
            found += self._score(batch, places, changed, maps, alteration.name, before)
        return found

    def _prepare(self, film: Film) -> _Prepared:
        loaded = film.load()
        array, frame = self.model.prepare(loaded.image)
        row: Row = {
            "image": film.key,
            "patient": film.patient,
            "label": loaded.label,
            "group": film.group,
            "outcome": "",
            "model": self.subject.model,
            "state": self.subject.state,
            "seed": self.subject.seed,
            "model_hash": self.hash,
        }
        return _Prepared(film, loaded, torch.from_numpy(array), frame, row)

    def _altered(self, one: _Prepared, how: Alteration) -> Tensor:
        """The film's input after a change."""
        if how.attack:
            target = self.model.card.poor_class
            return attacked(self.model.network, one.array, target, how.attack, how.epsilon)
        if how.corruption:
            changed = corrupt(one.loaded.image, how.corruption, how.degree, self.experiment.seed)
            return torch.from_numpy(self.model.prepare(changed)[0])
        inside = torch.from_numpy(one.frame.image_to_model(one.loaded.lungs.astype(np.float32)))
        return one.array * inside + one.array.mean(dim=(1, 2), keepdim=True) * (1 - inside)

    # --- verdicts

    def _called(self, logits: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of the poor class, and whether the network calls the films poor."""
        probability = self.model.probability(logits)
        return probability, probability >= self.model.card.threshold

    def _verdicts(self, batch: list[_Prepared], logits: Tensor) -> Iterator[Row]:
        """How the network judges each film; also fills in the outcome that later rows are told by."""
        for one, probability, called in zip(batch, *self._called(logits), strict=True):
            poor = one.loaded.label == 1
            one.row["outcome"] = {
                (True, True): "hit", (True, False): "missed", (False, True): "false alarm",
                (False, False): "rightly clean",
            }[poor, bool(called)]  # fmt: skip
            if self.experiment.verdicts:
                yield from self._verdict(one, float(probability), bool(called), poor, "none")

    def _changed_verdicts(self, batch: list[_Prepared], logits: Tensor, alteration: str) -> Iterator[Row]:
        if self.experiment.verdicts:
            for one, probability, called in zip(batch, *self._called(logits), strict=True):
                poor = one.loaded.label == 1
                yield from self._verdict(one, float(probability), bool(called), poor, alteration)

    @staticmethod
    def _verdict(
        one: _Prepared, probability: float, called: bool, poor: bool, alteration: str
    ) -> Iterator[Row]:
        values = {
            "probability": probability,
            "accuracy": float(called == poor),
            "sensitivity": float(called) if poor else nan,
            "specificity": nan if poor else float(not called),
        }
        for metric, value in values.items():
            yield one.row | {"alteration": alteration, "metric": metric, "value": value}

    # --- maps

    def _explain(self, images: Tensor, batch: list[_Prepared]) -> tuple[Tensor, list[_Explained]]:
        """Logits, and maps by every method of every profile; one capture for all methods of a profile."""
        seen: list[Tensor] = []
        handle = self.model.network.register_forward_hook(
            lambda module, inputs, output: seen.append(output.detach().clone()) if not seen else None
        )
        found: list[_Explained] = []
        try:
            for profile in self.experiment.profiles:
                found += self._explain_profile(images, batch, profile)
            if not seen:
                with torch.inference_mode():
                    self.model.network(images)
        finally:
            handle.remove()
        if self.experiment.controls and self.subject.state in ("trained", self._first_state()):
            found += self._controls(images, batch)
        return seen[0], found

    def _first_state(self) -> str:
        """The state beside which controls are measured where there is no trained network."""
        states = next(one.states for one in self.experiment.models if one.name == self.subject.model)
        return "trained" if "trained" in states else states[0]

    def _target(self, batch: list[_Prepared], profile: str) -> Target:
        wanted = "predicted" if profile == "reference" else self.experiment.target
        if wanted == "predicted":
            return "predicted"
        poor, classes = self.model.card.poor_class, len(self.model.card.classes)
        if wanted == "poor" or classes != 2:
            labels = [poor if wanted == "poor" else one.loaded.label for one in batch]
        else:
            labels = [poor if one.loaded.label == 1 else 1 - poor for one in batch]
        return torch.tensor(labels)

    def _explain_profile(self, images: Tensor, batch: list[_Prepared], profile: str) -> list[_Explained]:
        if not self.experiment.methods:
            return []
        network, target = self.model.network, self._target(batch, profile)
        written = {
            str(in_profile(text, profile)): str(Method.parse(text)) for text in self.experiment.methods
        }
        maps = explain(network, images, list(written), target=target, layers=self._layers)
        found = []
        for text, shown in written.items():

            def again(place: int, text: str = text) -> Maps:
                kept = torch.tensor([maps[text][place].target])
                return lambda more: self._maps(more, text, kept.expand(len(more)))

            params = dict(maps[text][0].params)
            layers = params.pop("layers", ())
            found.append(
                _Explained(
                    method=shown,
                    layer="+".join(layers),
                    params=json.dumps(params, sort_keys=True, default=str),
                    profile=profile,
                    state=self.subject.state,
                    values=[one.values for one in maps[text]],
                    again=again,
                )
            )
        return found

    def _maps(self, images: Tensor, text: str, target: Tensor) -> Tensor:
        """Maps of other images by one method, at the images' size."""
        maps = explain(self.model.network, images, text, target=target, layers=self._layers)[text]
        size = (int(images.shape[-2]), int(images.shape[-1]))
        return torch.stack([enlarge(torch.from_numpy(one.values)[None], size)[0] for one in maps])

    def _controls(self, images: Tensor, batch: list[_Prepared]) -> list[_Explained]:
        seed, keys = self.experiment.seed, [one.film.key for one in batch]
        found = []
        for name in CONTROLS:

            def again(place: int, name: str = name) -> Maps:
                def maps(more: Tensor) -> Tensor:
                    made = control_maps(name, more, [keys[place]] * len(more), seed)
                    return enlarge(made, (int(more.shape[-2]), int(more.shape[-1])))

                return maps

            values = [one.numpy() for one in control_maps(name, images, keys, seed)]
            found += [
                _Explained(name, "", "{}", profile, "control", values, again)
                for profile in self.experiment.profiles
            ]
        return found

    # --- measures

    def _score(
        self,
        batch: list[_Prepared],
        places: list[int],
        images: Tensor,
        explained: list[_Explained],
        alteration: str,
        before: dict[tuple[str, str], list[FloatArray]],
    ) -> list[Row]:
        found: list[Row] = []
        for maps in explained:
            for number, (one, place) in enumerate(zip(batch, places, strict=True)):
                for sigma in self.experiment.smoothing:
                    scored = _Scored(
                        self,
                        one,
                        images[number],
                        maps.values[number],
                        before[maps.method, maps.profile][number],
                        sigma,
                        maps.again(number),
                    )
                    shared = one.row | {
                        "state": maps.state,
                        "profile": maps.profile,
                        "method": maps.method,
                        "parameters": maps.params,
                        "layer": maps.layer,
                        "smoothing": sigma,
                        "alteration": alteration,
                    }
                    for measure, info in self._measures:
                        if info.kind == "agreement" and alteration == "none":
                            continue  # every map agrees with itself
                        if measure.limit is None or place < measure.limit:
                            found += [shared | row for row in scored.rows(measure, info)]
        return found

    @property
    def probe(self) -> TorchProbe:
        """Scores batches of images by the same function in fewer operations."""
        return self._probe

    @property
    def network(self) -> nn.Module:
        """The network itself."""
        return self.model.network


def in_profile(text: str, profile: str) -> Method:
    """A method as a profile runs it."""
    method = Method.parse(text)
    if profile == "paper" or "profile" not in bind(method).info.params:
        return method
    return Method(method.name, method.of, **{**method.params, "profile": profile})


@dataclass(eq=False)
class _Scored:
    """One map and everything that a metric may ask about it; grids are made when first asked for."""

    bench: Bench
    film: _Prepared
    image: Tensor
    values: FloatArray
    clean: FloatArray
    sigma: float
    again: Maps
    _original: FloatArray | None = None
    _input: FloatArray | None = None

    def original(self) -> FloatArray:
        """The map on the film's grid."""
        if self._original is None:
            self._original = on_original(self.values, self.film.frame, self.sigma)
        return self._original

    def input(self) -> FloatArray:
        """The map on the network's grid."""
        if self._input is None:
            self._input = on_input(self.values, self.film.frame, self.sigma)
        return self._input

    def explain(self, images: Tensor) -> Tensor:
        """Maps of other images, smoothed alike."""
        maps = self.again(images)
        if self.sigma == 0:
            return maps
        frame = self.film.frame
        return torch.stack([torch.from_numpy(on_input(one.numpy(), frame, self.sigma)) for one in maps])

    def rows(self, measure: Measure, info: MetricInfo) -> Iterator[Row]:
        """The value, and the curve where it is asked for."""
        if measure.curve:
            yield from self._curve(measure, info)
        yield {"metric": measure.name, "value": self._value(measure, info)}

    def _value(self, measure: Measure, info: MetricInfo) -> float:
        params = dict(measure.params)
        if info.kind == "localisation":
            return float(
                info.function(self.original(), truth_of(self.film.loaded, measure.objects), **params)
            )
        if info.kind == "agreement":
            before = on_input(self.clean, self.film.frame, self.sigma)
            return float(info.function(before, self.input(), **params))
        if info.kind == "complexity":
            return float(info.function(self.input(), **params))
        target = self.bench.model.card.poor_class
        wanted = inspect.signature(info.function).parameters
        known = {"explain": self.explain, "network": self.bench.network, "target": target}
        required = {
            name: known[name]
            for name, one in wanted.items()
            if one.kind is one.KEYWORD_ONLY and name in known and one.default is one.empty
        }
        if info.kind == "faithfulness":
            return float(
                info.function(self.bench.probe, self.image, self.input(), target, **required, **params)
            )
        if info.kind == "robustness":
            return float(info.function(self.explain, self.image, **required, **params))
        if info.kind in ("randomisation", "cost"):
            return float(info.function(self.bench.network, self.explain, self.image, **required, **params))
        raise ConfigError(
            f"{info.name} is no measure of one map", todo="`xiqa metrics` tells the kind of each metric"
        )

    def _curve(self, measure: Measure, info: MetricInfo) -> Iterator[Row]:
        if info.name not in CURVES:
            raise ConfigError(f"{info.name} has no curve", expected=" or ".join(CURVES))
        options = inspect.signature(CURVES[info.name]).parameters
        params = {key: value for key, value in measure.params.items() if key in options}
        target = self.bench.model.card.poor_class
        curve = CURVES[info.name](self.bench.probe, self.image, self.input(), target, **params)
        for share, score in zip(curve.share, curve.score, strict=True):
            yield {"metric": measure.name, "x": float(share), "value": float(curve.score[0] - score)}
