"""One batch of images under one network: maps from one shared capture, and every measure of each map."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from xiqa.assessment.runtimes.folding import folded
from xiqa.experiments.cases import Case
from xiqa.experiments.controls import CONTROLS, control_maps
from xiqa.experiments.networks import NetworkState, layers_of, network_hash
from xiqa.experiments.recipe import Alteration, Experiment, Measure
from xiqa.experiments.scored import Maps, Prepared, Row, ScoredMap
from xiqa.experiments.verdicts import RIGHT, judge, outcome, true_class
from xiqa.metrics import MetricInfo, get_metric
from xiqa.metrics.robustness.attack_stability import attacked
from xiqa.models.bundle import LoadedModel
from xiqa.saliency.capture import ForwardPass, Watch
from xiqa.saliency.combine import enlarge
from xiqa.saliency.engine import explain
from xiqa.saliency.method import Method
from xiqa.saliency.probe import TorchProbe
from xiqa.saliency.registry import bind
from xiqa.saliency.targets import Target, predicted
from xiqa.simulation.corrupt import corrupt
from xiqa.types import FloatArray

__all__ = ["Evaluator"]


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

    @property
    def row(self) -> Row:
        """What the rows of these maps have in common."""
        return {
            "state": self.state,
            "profile": self.profile,
            "method": self.method,
            "parameters": self.params,
            "layer": self.layer,
        }


@dataclass(eq=False)
class Evaluator:
    """What one network is measured with.

    Attributes:
        experiment: The recipe.
        network_state: The network's name and state.
        model: The network.
        hash: Short name of its weights.
        network: What is explained: the network, or the same function in fewer operations where no method
            looks at more than its layers' outputs and gradients.
        probe: Scores batches of images.
    """

    experiment: Experiment
    network_state: NetworkState
    model: LoadedModel
    hash: str = field(init=False)
    network: nn.Module = field(init=False)
    probe: TorchProbe = field(init=False)

    def __post_init__(self) -> None:
        self.hash = network_hash(self.model)
        self._device = next(self.model.network.parameters()).device
        self._layers = layers_of(self.model)
        self._of = next(model for model in self.experiment.models if model.name == self.network_state.model)
        self._measures = [(measure, get_metric(measure.metric)) for measure in self.experiment.measures]
        card = self.model.card
        names = (card.layers.last, *card.layers.multi)
        copy = folded(self.model.network, names, card.preprocessing.shape)
        quick = self.model.network if copy is None else copy
        self.probe = TorchProbe(quick)
        exact = any(info.kind == "randomisation" for _, info in self._measures)
        exact = exact or not all(bind(text).foldable for text in self.methods)
        self.network = self.model.network if exact else quick

    @property
    def methods(self) -> tuple[str, ...]:
        """The experiment's methods, and those of this network alone."""
        return self.experiment.methods + (self._of.methods if self.network_state.state == "trained" else ())

    # --- one batch

    def rows(self, cases: Sequence[tuple[int, Case]]) -> list[Row]:
        """Everything that the recipe asks of these images, as long rows.

        Args:
            cases: Images, each with its place in the experiment's draw, by which measures are limited.
        """
        batch = [self._prepare(case) for _, case in cases]
        places = [place for place, _ in cases]
        images = torch.stack([item.array for item in batch]).contiguous(memory_format=torch.channels_last)
        logits, clean = self._explain(images, batch)
        rows = self._verdicts(batch, logits, "none")
        before = {(shown.method, shown.profile): shown.values for shown in clean}
        rows += self._score(batch, places, images, clean, "none", before)
        for alteration in self.experiment.alterations:
            changed = torch.stack([self._altered(item, alteration) for item in batch])
            changed = changed.contiguous(memory_format=torch.channels_last)
            logits, maps = self._explain(changed, batch)
            rows += self._verdicts(batch, logits, alteration.name)
            rows += self._score(batch, places, changed, maps, alteration.name, before)
        return rows

    def _prepare(self, case: Case) -> Prepared:
        loaded = case.load()
        array, frame = self.model.prepare(loaded.image)
        row: Row = {
            "image": case.key,
            "patient": case.patient,
            "label": loaded.label,
            "group": case.group,
            "outcome": "",
            "model": self.network_state.model,
            "state": self.network_state.state,
            "seed": self.network_state.seed,
            "model_hash": self.hash,
        }
        return Prepared(case, loaded, torch.from_numpy(array).to(self._device), frame, row)

    def _altered(self, item: Prepared, how: Alteration) -> Tensor:
        """The image's input after a change."""
        if how.attack:
            target = self.model.card.poor_class
            return attacked(self.network, item.array, target, how.attack, how.epsilon)
        if how.corruption:
            changed = corrupt(item.loaded.image, how.corruption, how.degree, self.experiment.seed)
            return torch.from_numpy(self.model.prepare(changed)[0]).to(self._device)
        kept = torch.from_numpy(item.frame.image_to_model(item.loaded.region(how.region).astype(np.float32)))
        kept = kept.to(self._device)
        kept = kept if how.keep == "inside" else 1 - kept
        return item.array * kept + item.array.mean(dim=(1, 2), keepdim=True) * (1 - kept)

    def _verdicts(self, batch: list[Prepared], logits: Tensor, alteration: str) -> list[Row]:
        """How the network judges each image; the first judgement is the outcome that all rows are told by."""
        result: list[Row] = []
        for item, rows in zip(batch, judge(self.model, batch, logits), strict=True):
            if alteration == "none":
                right = rows[1]["value"] == 1
                item.row["outcome"] = outcome(self.model.card, item, right=right)
            if self.experiment.verdicts:
                result += [item.row | {"alteration": alteration} | row for row in rows]
        return result

    # --- maps

    def _explain(self, images: Tensor, batch: list[Prepared]) -> tuple[Tensor, list[_Explained]]:
        """Logits, and maps by every method of every profile; one capture for all methods of a profile."""
        results: list[_Explained] = []
        logits: Tensor | None = None
        for profile in self.experiment.profiles if self.methods else ():
            logits, rows = self._explain_profile(images, batch, profile)
            results += rows
        if logits is None:
            logits = ForwardPass(self.network, images, grad=False).logits
        if self.experiment.controls and self.network_state.state in ("trained", self._first_state()):
            results += self._controls(images, batch, logits)
        return logits, results

    def _first_state(self) -> str:
        """The state beside which controls are measured where there is no trained network."""
        return "trained" if "trained" in self._of.states else self._of.states[0]

    def _target(self, batch: list[Prepared], profile: str) -> Target:
        wanted = "predicted" if profile == "reference" else self.experiment.target
        if wanted == "predicted":
            return "predicted"
        card = self.model.card
        return torch.tensor(
            [card.poor_class if wanted == "poor" else true_class(card, item) for item in batch]
        )

    def _explain_profile(
        self, images: Tensor, batch: list[Prepared], profile: str
    ) -> tuple[Tensor | None, list[_Explained]]:
        network, target = self.network, self._target(batch, profile)
        written = {str(in_profile(text, profile)): str(Method.parse(text)) for text in self.methods}
        maps = explain(network, images, list(written), target=target, layers=self._layers, watch=Watch())
        result = []
        for text, shown in written.items():

            def again(place: int, text: str = text) -> Maps:
                kept = torch.tensor([maps[text][place].target])
                return lambda more: self._maps(more, text, kept.expand(len(more)))

            params = dict(maps[text][0].params)
            layers = params.pop("layers", ())
            result.append(
                _Explained(
                    method=shown,
                    layer="+".join(layers),
                    params=json.dumps(params, sort_keys=True, default=str),
                    profile=profile,
                    state=self.network_state.state,
                    values=[saliency.values for saliency in maps[text]],
                    targets=[saliency.target for saliency in maps[text]],
                    again=again,
                )
            )
        return maps.logits, result

    def _maps(self, images: Tensor, text: str, target: Tensor) -> Tensor:
        """Maps of other images by one method, at the images' size."""
        (maps,) = explain(self.network, images, text, target=target, layers=self._layers).values()
        size = (int(images.shape[-2]), int(images.shape[-1]))
        large = [enlarge(torch.from_numpy(shown.values)[None], size)[0] for shown in maps]
        return torch.stack(large)

    def _controls(self, images: Tensor, batch: list[Prepared], logits: Tensor) -> list[_Explained]:
        seed, keys = self.experiment.seed, [item.case.key for item in batch]
        result = []
        for name in CONTROLS:

            def again(place: int, name: str = name) -> Maps:
                def maps(more: Tensor) -> Tensor:
                    made = control_maps(name, more, [keys[place]] * len(more), seed)
                    return enlarge(made, (int(more.shape[-2]), int(more.shape[-1])))

                return maps

            values = [values.cpu().numpy() for values in control_maps(name, images, keys, seed)]
            for profile in self.experiment.profiles:
                wanted = self._target(batch, profile)
                targets = (wanted if isinstance(wanted, Tensor) else predicted(logits)).tolist()
                result.append(_Explained(name, "", "{}", profile, "control", values, targets, again))
        return result

    # --- measures

    def _score(
        self,
        batch: list[Prepared],
        places: list[int],
        images: Tensor,
        explained: list[_Explained],
        alteration: str,
        before: dict[tuple[str, str], list[FloatArray]],
    ) -> list[Row]:
        result: list[Row] = []
        for maps in explained:
            clean = before[maps.method, maps.profile]
            for number, (item, place) in enumerate(zip(batch, places, strict=True)):
                wanted = [pair for pair in self._measures if self._is_wanted(*pair, item, place, alteration)]
                for sigma in self.experiment.smoothing if wanted else ():
                    scored = ScoredMap(
                        network=self.network,
                        probe=self.probe,
                        case=item,
                        image=images[number],
                        values=maps.values[number],
                        clean=clean[number],
                        sigma=sigma,
                        target=maps.targets[number],
                        again=maps.again(number),
                    )
                    shared = item.row | maps.row | {"smoothing": sigma, "alteration": alteration}
                    for pair in wanted:
                        result += [shared | row for row in scored.rows(*pair)]
        return result

    def _is_wanted(
        self, measure: Measure, info: MetricInfo, item: Prepared, place: int, alteration: str
    ) -> bool:
        """Whether a measure is asked of an image."""
        if info.kind == "agreement" and alteration == "none":
            return False  # every map agrees with itself
        if (
            measure.correct_only
            and self.network_state.state == "trained"
            and item.row["outcome"] not in RIGHT
        ):
            return False
        return measure.limit is None or place < measure.limit


def in_profile(text: str, profile: str) -> Method:
    """A method as a profile runs it."""
    method = Method.parse(text)
    if profile == "paper" or "profile" not in bind(method).info.params:
        return method
    return Method(method.name, method.of, **{**method.params, "profile": profile})
