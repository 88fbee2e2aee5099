"""Running an experiment: network by network, chunk by chunk; a killed run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xiqa.errors import ConfigError
from xiqa.experiments.cases import Case, choose_cases
from xiqa.experiments.measure import Evaluator
from xiqa.experiments.networks import NetworkState, states_of
from xiqa.experiments.recipe import Experiment
from xiqa.experiments.rows import RowStore, frame_of
from xiqa.models.device import choose_device
from xiqa.models.shelf import read_card

if TYPE_CHECKING:
    import pandas as pd

from xiqa.models.card import BundleCard

__all__ = ["Plan", "plan", "run"]

RESOLVED = "recipe.json"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a run will do.

    Attributes:
        experiment: The resolved recipe.
        cases: In their order.
        network_states: Networks in their states.
    """

    experiment: Experiment
    cases: list[Case]
    network_states: list[NetworkState]

    @property
    def chunks(self) -> list[list[tuple[int, Case]]]:
        """The images in chunks, each with its place in a draw by the seed, by which measures are limited."""
        drawn = np.random.default_rng(self.experiment.seed).permutation(len(self.cases)).tolist()
        placed, size = list(zip(drawn, self.cases, strict=True)), self.experiment.chunk
        return [placed[start : start + size] for start in range(0, len(placed), size)]

    @property
    def total(self) -> int:
        """Number of parts; none where only pictures are asked for."""
        if not self.experiment.measures and not self.experiment.verdicts:
            return 0
        return len(self.chunks) * len(self.network_states)

    def resolved(self) -> dict[str, Any]:
        """Everything that decides the numbers: recipe, bundles by hash, images by name."""
        return {
            "recipe": self.experiment.model_dump(mode="json"),
            "bundles": {state.bundle: _identity(read_card(state.bundle)) for state in self.network_states},
            "images": len(self.cases),
            "images_sha256": hashlib.sha256("\n".join(case.key for case in self.cases).encode()).hexdigest(),
        }


def _identity(card: BundleCard) -> str:
    """Short name of what a bundle gives: its weights and how they are used, whatever else its card tells."""
    used = {"weights_sha256", "preprocessing", "classes", "poor_class", "outputs", "temperature", "beta"}
    used |= {"threshold", "layers"}
    content = card.model_dump(mode="json", include=used, exclude_defaults=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def plan(experiment: Experiment) -> Plan:
    """Look up images and bundles, before any work.

    Raises:
        XiqaError: A folder, a bundle or the recipe does not fit.
    """
    network_states = [network_state for network in experiment.models for network_state in states_of(network)]
    return Plan(experiment, choose_cases(experiment.data, experiment.seed), network_states)


def run(
    planned: Plan,
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    tick: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Measure everything that is not measured yet.

    Args:
        planned: What to do.
        out: Folder for rows; ``recipe.json`` in it says what they are.
        resume: Go on with the parts that are there.
        device: Where the networks run; see `choose_device`.
        tick: Called after every part, for a progress bar.

    Returns:
        All rows, as ``rows.parquet`` has them.

    Raises:
        ConfigError: The folder holds another run, or one that was not to be resumed.
        XiqaError: A method or measure cannot be used as the recipe asks.
    """
    where = choose_device(device)
    store = RowStore(out)
    _claim(planned, out, store, resume)
    if not planned.total:
        return frame_of([])
    for place, state in enumerate(planned.network_states):
        evaluator: Evaluator | None = None
        for step, chunk in enumerate(planned.chunks):
            number = place * len(planned.chunks) + step
            if not store.has(number):
                evaluator = evaluator or Evaluator(planned.experiment, state, state.load().to(where))
                store.write(number, evaluator.rows(chunk))
            tick()
    return store.gather(planned.total)


def _claim(planned: Plan, out: Path, store: RowStore, resume: bool) -> None:
    """Write what this run is, or see that it is the one that is there."""
    resolved = json.dumps(planned.resolved(), indent=1, sort_keys=True) + "\n"
    path = out / RESOLVED
    if path.is_file() and store.parts.is_dir():
        if not resume:
            raise ConfigError(f"{out} holds a run", todo="add --resume to go on, or name another --out")
        if _measured(json.loads(path.read_text(encoding="utf-8"))) != _measured(json.loads(resolved)):
            raise ConfigError(
                f"{out} holds another run",
                expected="the same recipe, bundles and images",
                todo="name another --out",
            )
    out.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(resolved, encoding="utf-8")
    temporary.replace(path)


def _measured(resolved: dict[str, Any]) -> dict[str, Any]:
    """What decides the rows; how they are shown may change between a run and its end."""
    shown = {"tables", "figures", "galleries", "title", "resamples"}
    recipe = {key: value for key, value in resolved["recipe"].items() if key not in shown}
    recipe["data"] = {key: value for key, value in recipe["data"].items() if key != "path"}
    return resolved | {"recipe": recipe}
