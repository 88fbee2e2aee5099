"""What a model card says about images: verdicts, places and the guard, measured."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from xiqa.assessment.runtimes.torch import guard_watch, named_layers
from xiqa.datasets import Sample
from xiqa.datasets.groups import PROBLEM, members
from xiqa.experiments.other_sources import other_sources, turned_images
from xiqa.metrics.localisation.froc import candidates
from xiqa.metrics.localisation.pointing_game import pointing_game, pointing_recall
from xiqa.metrics.truth import objects_on
from xiqa.models.card import BundleCard, Evaluation, GuardReport
from xiqa.models.views.check import likeliest_other
from xiqa.saliency.engine import explain
from xiqa.saliency.placing import on_original
from xiqa.scoring.evaluation import RECALL, Scores, summarise
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.seeds import CARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor

    from xiqa.models import LoadedModel
    from xiqa.saliency.engine import Captured
    from xiqa.types import FloatArray, Image, SaliencyMap

__all__ = [
    "CENTRE",
    "GROUPS",
    "METHODS",
    "evaluate_bundle",
    "evaluate_guard",
    "score_image",
    "simulated_samples",
    "with_evaluation",
]

METHODS = (
    "normgrad_conv1x1", "normgrad_conv1x1:layers=multi,combine=geometric", "normgrad_scaling",
    "normgrad_conv3x3", "normgrad_bias", "gradcam", "gradcampp", "layercam", "eigencam",
    "gradient", "inputxgradient",
)  # fmt: skip
"""Detectors of a card unless others are named: one forward pass and few backward passes for all."""

GROUPS = ("removable", PROBLEM, "compact")
"""Groups of objects that a card's peaks are scored on; a group that no image has is left out."""

CENTRE = "centre"
"""The baseline that always points at the image's middle."""


def evaluate_bundle(
    model: LoadedModel,
    samples: Iterable[Sample],
    name: str,
    methods: Sequence[str],
    *,
    tolerance: float = 15.0,
    tick: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Score a model on images that it did not learn from.

    Args:
        model: The model.
        samples: The images, with their objects.
        name: Name of the set, for the card.
        methods: Saliency methods; the centre of the image is added as a baseline.
        tolerance: Pixels of the image around an object that still count as a hit.
        tick: Called after every image, for a progress bar.

    Returns:
        The card's section.
    """
    scores = Scores()
    for sample in samples:
        score_image(model, sample, methods, tolerance, scores)
        tick()
    return summarise(scores, name, model.card.threshold, tolerance)


def simulated_samples(count: int) -> list[Sample]:
    """Simulated images of the card's own seeds, of which no training knows; each its own patient."""
    samples = []
    for seed in CARD.take(count):
        phantom = simulate_chest(seed, size=(640, 640))
        samples.append(
            Sample(
                key=f"simulated {seed}",
                path=Path(),
                label=phantom.label,
                split="test",
                patient=str(seed),
                annotations=phantom.annotations,
                source=lambda image=phantom.image: image,  # type: ignore[misc]
            )
        )
    return samples


def with_evaluation(card: BundleCard, evaluation: Evaluation) -> BundleCard:
    """The card with one set's scores, in place of older ones on the same images."""
    others = tuple(scores for scores in card.evaluations if scores.name != evaluation.name)
    return card.model_copy(update={"evaluations": (*others, evaluation)})


def evaluate_guard(model: LoadedModel, samples: Sequence[Sample] = ()) -> tuple[GuardReport, ...]:
    """How many images of each kind that the model was not made for its guard catches.

    Args:
        model: A model with a guard.
        samples: Real frontal radiographs, to be turned.

    Returns:
        One report a kind.
    """
    caught: dict[str, list[bool]] = {}
    names: dict[str, list[str | None]] = {}
    for kind, image in chain(other_sources(), turned_images(samples)):
        images = torch.from_numpy(model.prepare(image)[0])[None]
        _, far = _verdict(model, _captured(model, images, ()), images)
        caught.setdefault(kind, []).append(far)
        names.setdefault(kind, []).append(_other_view(model, images))
    return tuple(
        GuardReport(kind=kind, images=len(far), caught=sum(far) / len(far), named=_named(kind, names[kind]))
        for kind, far in caught.items()
    )


NAMES = {"negative": "inverted", "upside down": "upside_down", "side": "on_its_side", "lateral": "lateral"}
"""Words of a kind and the view check's name for it."""


def _named(kind: str, names: Sequence[str | None]) -> float | None:
    """How many are called by their name; None where the view check has no name for the kind."""
    wanted = next((name for word, name in NAMES.items() if word in kind), None)
    return None if wanted is None or not any(names) else names.count(wanted) / len(names)


def _other_view(model: LoadedModel, images: Tensor) -> str | None:
    """What the view check calls one image; None for an upright frontal view, or without a check."""
    if model.view is None:
        return None
    shares: list[float] = model.view.probabilities(images)[0].tolist()
    return likeliest_other(model.view.check, shares)


def _captured(model: LoadedModel, images: Tensor, methods: Sequence[str]) -> Captured[list[SaliencyMap]]:
    """Maps, logits and the guard's features of prepared images, from one pass."""
    return explain(
        model.network,
        images,
        list(methods),
        target=model.card.poor_class,
        layers=named_layers(model.card),
        watch=guard_watch(model.guard),
    )


def _verdict(model: LoadedModel, seen: Captured[list[SaliencyMap]], images: Tensor) -> tuple[float, bool]:
    """Calibrated probability of one image, and whether the view check or the guard catches it."""
    assert seen.logits is not None
    probability, guard = float(model.probability(seen.logits)[0]), model.guard
    if _other_view(model, images) is not None:
        return probability, True
    if guard is None:
        return probability, False
    return probability, bool(guard.distances(guard.join(seen.features))[0] >= guard.threshold)


def score_image(
    model: LoadedModel, sample: Sample, methods: Sequence[str], tolerance: float, scores: Scores
) -> None:
    """Measure one image and add it to the scores."""
    image = sample.read()
    array, frame = model.prepare(image)
    images = torch.from_numpy(array)[None]
    poor = sample.label == model.card.poor_class
    maps = _captured(model, images, methods)
    probability, caught = _verdict(model, maps, images)
    scores.patients.append(sample.patient)
    scores.poor.append(poor)
    scores.probabilities.append(probability)
    scores.caught.append(caught)
    objects = objects_on(sample.annotations, image.size)
    truths = {group: members(objects, group) for group in GROUPS}
    scores.truths.append(truths[PROBLEM])
    placed = {name: on_original(saliency.values, frame) for name, (saliency,) in maps.items()}
    placed[CENTRE] = _centre(image)
    for name, saliency in placed.items():
        row = {group: pointing_game(saliency, truth, tolerance=tolerance) for group, truth in truths.items()}
        row[RECALL] = pointing_recall(saliency, truths[PROBLEM], tolerance=tolerance)
        scores.hits.setdefault(name, []).append(row if poor else dict.fromkeys(row, np.nan))
        scores.found.setdefault(name, []).append(candidates(saliency, probability))


def _centre(image: Image) -> FloatArray:
    """A map whose only peak is the image's middle."""
    saliency = np.zeros(image.size, dtype=np.float32)
    saliency[image.height // 2, image.width // 2] = 1
    return saliency
