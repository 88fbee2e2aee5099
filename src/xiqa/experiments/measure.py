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
from xiqa.saliency.registry import Bound, Needs, bind
from xiqa.saliency.targets import Target, predicted
from xiqa.types import FloatArray

__all__ = ["CURVES", "Bench", "Row"]

Row = dict[str, Any]
Maps = Callable[[Tensor], Tensor]

CURVES: dict[str, tuple[Callable[..., Any], str]] = {
    "aopc": (aopc_curve, "mean_drop"),
    "deletion": (deletion_curve, "area"),
    "insertion": (insertion_curve, "area"),
}
"""Metrics that are numbers of a curve: the curve, and which number."""


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
    targets: list[int]
    again: Callable[[int], Maps]


@dataclass(eq=False)
class Bench:
    """What one network is measured with.

    Attributes:
        experiment: The recipe.
        subject: The network's name and state.
        model: The network.
        hash: Short name of its weights.
        network: What is explained: the network, or the same function in fewer operations where no method
            looks at more than its layers' outputs and gradients.
        probe: Scores batches of images.
    """

    experiment: Experiment
    subject: Subject
    model: LoadedModel
    hash: str = field(init=False)
    network: nn.Module = field(init=False)
    probe: TorchProbe = field(init=False)

    def __post_init__(self) -> None:
        self.hash = network_hash(self.model)
        self._layers = layers_of(self.model)
        self._measures = [(measure, get_metric(measure.metric)) for measure in self.experiment.measures]
        card = self.model.card
        names = (card.layers.last, *card.layers.multi)
        quick = folded(self.model.network, names, len(card.preprocessing.mean)) or self.model.network
        self.probe = TorchProbe(quick)
        exact = any(info.kind == "randomisation" for _, info in self._measures)
        exact = exact or not all(_may_fold(bind(text)) for text in self.experiment.methods)
        self.network = self.model.network if exact else quick

    # --- one batch

    def rows(self, films: Sequence[tuple[int, Film]]) -> list[Row]:
        """Everything that the recipe asks of these films, as long rows.

        Args:
            films: Films, each with its place in the experiment's order.
        """
        batch = [self._prepare(film) for _, film in films]
        places = [place for place, _ in films]
        images = torch.stack([one.array for one in batch]).contiguous(memory_format=torch.channels_last)
        logits, clean = self._explain(images, batch)
        found = list(self._verdicts(batch, logits, "none"))
        before = {(one.method, one.profile): one.values for one in clean}
        found += self._score(batch, places, images, clean, "none", before)
        for alteration in self.experiment.alterations:
            changed = torch.stack([self._altered(one, alteration) for one in batch])
            changed = changed.contiguous(memory_format=torch.channels_last)
            logits, maps = self._explain(changed, batch)
            found += self._verdicts(batch, logits, alteration.name)
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
            return attacked(self.network, one.array, target, how.attack, how.epsilon)
        if how.corruption:
            changed = corrupt(one.loaded.image, how.corruption, how.degree, self.experiment.seed)
            return torch.from_numpy(self.model.prepare(changed)[0])
        inside = torch.from_numpy(one.frame.image_to_model(one.loaded.lungs.astype(np.float32)))
        return one.array * inside + one.array.mean(dim=(1, 2), keepdim=True) * (1 - inside)

    # --- verdicts

    def _verdicts(self, batch: list[_Prepared], logits: Tensor, alteration: str) -> Iterator[Row]:
        """How the network judges each film; the first judgement is the outcome that all rows are told by."""
        for one, values in zip(batch, self._judged(batch, logits), strict=True):
            if alteration == "none":
                one.row["outcome"] = self._outcome(one, right=values["accuracy"] == 1)
            if self.experiment.verdicts:
                for metric, value in values.items():
                    yield one.row | {"alteration": alteration, "metric": metric, "value": value}

    def _outcome(self, one: _Prepared, *, right: bool) -> str:
        if not self._two_classes:
            return "right" if right else "wrong"
        if one.loaded.label == 1:
            return "hit" if right else "missed"
        return "rightly clean" if right else "false alarm"

    def _judged(self, batch: list[_Prepared], logits: Tensor) -> Iterator[dict[str, float]]:
        """What is measured of each verdict: of two classes by the threshold, of more by the likeliest."""
        card = self.model.card
        for one, probability, scores in zip(batch, self.model.probability(logits), logits, strict=True):
            values = {"probability": float(probability)}
            if self._two_classes:
                called, poor = bool(probability >= card.threshold), one.loaded.label == 1
                values["accuracy"] = float(called == poor)
                values["sensitivity"] = float(called) if poor else nan
                values["specificity"] = nan if poor else float(not called)
            else:
                values["accuracy"] = float(int(scores.argmax()) == self._class_of(one))
            yield values

    @property
    def _two_classes(self) -> bool:
        return len(self.model.card.classes) == 2

    def _class_of(self, one: _Prepared) -> int:
        """The network's index of a film's true class."""
        card = self.model.card
        if self._two_classes:
            return card.poor_class if one.loaded.label == 1 else 1 - card.poor_class
        if one.film.group not in card.classes:
            raise ConfigError(
                f"{self.subject.model} does not know the class {one.film.group!r}",
                expected=", ".join(card.classes),
            )
        return card.classes.index(one.film.group)

    # --- maps

    def _explain(self, images: Tensor, batch: list[_Prepared]) -> tuple[Tensor, list[_Explained]]:
        """Logits, and maps by every method of every profile; one capture for all methods of a profile."""
        seen: list[Tensor] = []
        handle = self.network.register_forward_hook(
            lambda module, inputs, output: seen.append(output.detach().clone()) if not seen else None
        )
        found: list[_Explained] = []
        try:
            for profile in self.experiment.profiles:
                found += self._explain_profile(images, batch, profile)
            if not seen:
                with torch.inference_mode():
                    self.network(images)
        finally:
            handle.remove()
        if self.experiment.controls and self.subject.state in ("trained", self._first_state()):
            found += self._controls(images, batch, seen[0])
        return seen[0], found

    def _first_state(self) -> str:
        """The state beside which controls are measured where there is no trained network."""
        states = next(one.states for one in self.experiment.models if one.name == self.subject.model)
        return "trained" if "trained" in states else states[0]

    def _target(self, batch: list[_Prepared], profile: str) -> Target:
        wanted = "predicted" if profile == "reference" else self.experiment.target
        if wanted == "predicted":
            return "predicted"
        poor = self.model.card.poor_class
        return torch.tensor([poor if wanted == "poor" else self._class_of(one) for one in batch])

    def _explain_profile(self, images: Tensor, batch: list[_Prepared], profile: str) -> list[_Explained]:
        if not self.experiment.methods:
            return []
        network, target = self.network, self._target(batch, profile)
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
                    targets=[one.target for one in maps[text]],
                    again=again,
                )
            )
        return found

    def _maps(self, images: Tensor, text: str, target: Tensor) -> Tensor:
        """Maps of other images by one method, at the images' size."""
        (maps,) = explain(self.network, images, text, target=target, layers=self._layers).values()
        size = (int(images.shape[-2]), int(images.shape[-1]))
        large = [enlarge(torch.from_numpy(one.values)[None], size)[0] for one in maps]
        return torch.stack(large)

    def _controls(self, images: Tensor, batch: list[_Prepared], logits: Tensor) -> list[_Explained]:
        seed, keys = self.experiment.seed, [one.film.key for one in batch]
        found = []
        for name in CONTROLS:

            def again(place: int, name: str = name) -> Maps:
                def maps(more: Tensor) -> Tensor:
                    made = control_maps(name, more, [keys[place]] * len(more), seed)
                    return enlarge(made, (int(more.shape[-2]), int(more.shape[-1])))

                return maps

            values = [one.numpy() for one in control_maps(name, images, keys, seed)]
            for profile in self.experiment.profiles:
                wanted = self._target(batch, profile)
                targets = (wanted if isinstance(wanted, Tensor) else predicted(logits)).tolist()
                found.append(_Explained(name, "", "{}", profile, "control", values, targets, again))
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
                        maps.targets[number],
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


def _may_fold(bound: Bound) -> bool:
    """Whether a method gives the same map on a network with folded batch norm."""
    if bound.inner is not None and not _may_fold(bound.inner):
        return False
    ours = bound.params.get("layers", "last") in ("last", "multi")
    return ours and bound.rule is None and Needs.NETWORK not in bound.info.needs


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
    target: int
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
        else:
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
        wanted = inspect.signature(info.function).parameters
        known = {"explain": self.explain, "network": self.bench.network, "target": self.target}
        required = {
            name: known[name]
            for name, one in wanted.items()
            if one.kind is one.KEYWORD_ONLY and name in known and one.default is one.empty
        }
        if info.kind == "faithfulness":
            return float(
                info.function(self.bench.probe, self.image, self.input(), self.target, **required, **params)
            )
        if info.kind == "robustness":
            return float(info.function(self.explain, self.image, **required, **params))
        if info.kind in ("randomisation", "cost"):
            return float(info.function(self.bench.network, self.explain, self.image, **required, **params))
        raise ConfigError(
            f"{info.name} is no measure of one map", todo="`xiqa metrics` tells the kind of each metric"
        )

    def _curve(self, measure: Measure, info: MetricInfo) -> Iterator[Row]:
        """The curve's points, and the metric's value from the same passes."""
        if info.name not in CURVES:
            raise ConfigError(f"{info.name} has no curve", expected=" or ".join(CURVES))
        of, area = CURVES[info.name]
        unknown = set(measure.params) - set(inspect.signature(of).parameters)
        if unknown:
            raise ConfigError(f"a curve of {info.name} takes no {', '.join(sorted(unknown))}")
        curve = of(self.bench.probe, self.image, self.input(), self.target, **measure.params)
        for share, score in zip(curve.share, curve.score, strict=True):
            yield {"metric": measure.name, "x": float(share), "value": float(curve.score[0] - score)}
        yield {"metric": measure.name, "value": float(getattr(curve, area))}
