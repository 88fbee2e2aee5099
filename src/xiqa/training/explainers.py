"""What the trainings of explainers share: they are told of one classifier, and may simulate their images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from xiqa.datasets import Sample
from xiqa.errors import ConfigError
from xiqa.simulation.chest import simulate_chest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from xiqa.types import Image

__all__ = ["read_plan", "simulated_images"]


class _Plan(Protocol):
    """A recipe that can be read, in whole or in small."""

    @classmethod
    def read(cls, path: Path, *, quick: bool = False) -> Self: ...

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self: ...


_AnyPlan = TypeVar("_AnyPlan", bound=_Plan)


def read_plan(
    kind: type[_AnyPlan], recipe: Path, *, model: str | None, seed: int | None, quick: bool
) -> tuple[_AnyPlan, str]:
    """Read the recipe of an explainer, and require a classifier for it to explain.

    Args:
        kind: What the recipe's entries fill.
        recipe: A TOML file.
        model: The classifier's name or folder.
        seed: Another seed than the recipe's.
        quick: Whether the recipe in small is wanted.

    Returns:
        The recipe, and the classifier's name.

    Raises:
        ConfigError: The recipe has a wrong value, or no classifier is named.
    """
    plan = kind.read(recipe, quick=quick)
    if model is None:
        raise ConfigError(
            "this recipe explains a classifier", expected="--model NAME or --model FOLDER", got="none"
        )
    return (plan if seed is None else plan.model_copy(update={"seed": seed})), model


def simulated_images(seeds: Sequence[int], *, annotated: bool = False) -> list[Sample]:
    """Simulated radiographs, each fourth for validation; they are made when they are read.

    Args:
        seeds: Theirs, from the ledger.
        annotated: Whether labels and objects are told, for which each image is made once more.

    Returns:
        Their samples, each of a patient of its own; without annotation all have label 0.
    """
    samples = []
    for seed in seeds:
        phantom = simulate_chest(seed) if annotated else None
        samples.append(
            Sample(
                key=f"simulated {seed}",
                path=Path(),
                label=phantom.label if phantom else 0,
                split="val" if seed % 4 == 3 else "train",
                patient=str(seed),
                annotations=phantom.annotations if phantom else (),
                source=partial(_simulated_image, seed),
            )
        )
    return samples


def _simulated_image(seed: int) -> Image:
    return simulate_chest(seed).image
