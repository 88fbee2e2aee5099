"""From a trained network to a bundle: calibration, threshold, guard and card in one go."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from xiqa.metrics.roc import roc_auc
from xiqa.models.bundle import save_bundle
from xiqa.models.calibration import (
    band_around,
    fit_beta,
    fit_platt,
    fit_temperature,
    require_enough,
    threshold_at_sensitivity,
)
from xiqa.models.card import BundleCard, Estimate, Evaluation, Layers, Training
from xiqa.models.guard import fit_guard, out_of_fold_distances, pooled
from xiqa.models.heads.evidence import EvidenceNet
from xiqa.models.heads.pooled import PooledMLP
from xiqa.models.layers import target_layers
from xiqa.models.outputs import (
    class_scores,
    degrees_of,
    is_plain,
    margins,
    poor_classes,
    problem_names,
    read_outputs,
)
from xiqa.saliency.capture import ForwardPass, Watch
from xiqa.scoring.calibration import calibration_error, reliability
from xiqa.scoring.classifier import classifier_report
from xiqa.training.data import EpochLoader, ImageSet
from xiqa.training.goals import is_poor, truth_of
from xiqa.training.processes import ONE, Machines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any, Literal

    from numpy.typing import NDArray
    from torch import nn

    from xiqa.models.calibration import Beta
    from xiqa.models.guard import Guard
    from xiqa.models.views.network import ViewNet
    from xiqa.scoring.classifier import ClassifierReport
    from xiqa.training.data import TrainingImage
    from xiqa.training.recipe import Recipe

__all__ = ["Known", "Scored", "evaluate", "finish", "report_on", "score_images"]

PACKAGES = ("xiqa", "torch", "timm", "lightning", "numpy")


class Scored(NamedTuple):
    """A network's outputs on images: logits ``(N, K)``, labels ``(N,)``, goals, guard features ``(N, F)``."""

    logits: Tensor
    labels: Tensor
    goals: Tensor
    features: Tensor


class Known(NamedTuple):
    """Images that the guard shall let pass: features ``(N, F)``, their sources and patients."""

    features: Tensor
    sources: list[str]
    patients: list[str]


def score_images(
    network: nn.Module,
    recipe: Recipe,
    cases: Sequence[TrainingImage],
    tick: Callable[[int], object] = lambda done: None,
) -> Scored:
    """Run a network over prepared images.

    Args:
        network: In evaluation mode.
        recipe: Says how images are normalised and which layers the guard looks at.
        cases: On the grid of ``recipe.preprocessing``.
        tick: Called with the number of images done in each step, for a progress bar.

    Returns:
        The outputs, in the images' order.
    """
    loader = EpochLoader(
        ImageSet(cases, recipe, recipe.preprocessing.size, training=False), recipe.batch_size, shuffle=False
    )
    logits, labels, goals, features = [], [], [], []
    watch = Watch(recipe.guard_layers, pooled)
    for batch in loader:
        images = batch.images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            passed = ForwardPass(network, images, grad=False, watch=watch)
        logits.append(passed.logits)
        labels.append(batch.labels)
        goals.append(batch.goals)
        features.append(
            torch.cat([torch.zeros(len(images), 0), *(passed.features[n] for n in watch.layers)], dim=1)
        )
        tick(len(batch.labels))
    return Scored(*(torch.cat(parts).clone() for parts in (logits, labels, goals, features)))


def evaluate(
    name: str,
    probabilities: NDArray[np.float64],
    poor: NDArray[np.int64],
    patients: Sequence[str],
    threshold: float,
) -> Evaluation:
    """Score calibrated probabilities against the truth.

    Args:
        name: Of the set of images.
        probabilities: ``(N,)`` of poor quality.
        poor: ``(N,)`` of 0 and 1.
        patients: Whom each image shows.
        threshold: Probability from which an image counts as poor.

    Returns:
        AUC, sensitivity, specificity and calibration, without intervals.
    """
    called = probabilities >= threshold
    return Evaluation(
        name=name,
        images=len(poor),
        poor=int(poor.sum()),
        patients=len(set(patients)),
        auc=Estimate(value=roc_auc(probabilities, poor)),
        sensitivity=Estimate(value=float(called[poor == 1].mean())),
        specificity=Estimate(value=float((~called[poor == 0]).mean())),
        calibration_error=Estimate(value=calibration_error(probabilities, poor)),
        reliability=reliability(probabilities, poor),
    )


def finish(
    network: nn.Module,
    recipe: Recipe,
    val: Scored,
    patients: Sequence[str],
    known: Known,
    folder: Path,
    view: ViewNet | None = None,
    machines: Machines = ONE,
) -> BundleCard:
    """Calibrate a trained network on the validation images and write its bundle.

    Args:
        network: The trained network.
        recipe: Its recipe.
        val: Its outputs on the validation images.
        patients: Whom these show.
        known: What the guard shall let pass.
        folder: The bundle's folder.
        view: Its view check.
        machines: What it was trained on, for the card.

    Returns:
        The card as written.

    Raises:
        ModelError: Too few images of either quality to calibrate on.
    """
    poor = is_poor(recipe, val.labels.numpy(), val.goals.numpy())
    require_enough(poor)
    temperature, beta, probabilities = _calibrate(network, recipe, val, poor)
    warn_of_the_ends(temperature)
    threshold = threshold_at_sensitivity(probabilities, poor, recipe.sensitivity)
    layers = recipe.layers
    if layers is None:
        layers = _layers(network)
    card = BundleCard(
        name=recipe.name,
        created=datetime.now(UTC).date().isoformat(),
        architecture=recipe.architecture,
        preprocessing=recipe.preprocessing,
        classes=recipe.classes,
        poor_class=recipe.poor_class,
        outputs=recipe.outputs,
        temperature=temperature,
        beta=beta,
        threshold=threshold,
        review_band=band_around(threshold, recipe.review_band),
        layers=layers,
        method=recipe.method,
        recipe=recipe.model_dump(mode="json"),
        versions={package: version(package) for package in PACKAGES},
        training=training_of(network, recipe, machines),
        evaluations=(evaluate("validation", probabilities, poor, patients, threshold),),
        **recipe.card.model_dump(),
    )
    return save_bundle(folder, network, card, _guard(recipe, known), view)


def warn_of_the_ends(temperature: float) -> None:
    """Say so where a temperature ran to an end of its range, which no number of images vouches for."""
    if not 0.02 < temperature < 50:
        description = "hardly tells good from poor" if temperature > 1 else "tells all good from all poor"
        warnings.warn(
            f"the network {description} on the validation images (temperature {temperature:.3g}): "
            "its probabilities mean little beyond them",
            stacklevel=2,
        )


def training_of(network: nn.Module, recipe: Recipe, machines: Machines) -> Training:
    """What the recipe does not say of how a network was trained."""
    norms = [name for name, module in network.named_modules() if isinstance(module, _BatchNorm)]
    mode: Literal["none", "frozen", "batch", "part"] = "batch" if machines.processes == 1 else "part"
    if not norms:
        mode = "none"
    elif all(_lies_in(name, phase.frozen) for name in norms for phase in recipe.phases):
        mode = "frozen"
    return Training(processes=machines.processes, batch_size=recipe.batch_size, batch_norm=mode)


def _lies_in(name: str, parts: Sequence[str]) -> bool:
    """Whether a module is one of these or lies in one."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def report_on(
    card: BundleCard, scored: Scored, split: str, history: Sequence[Mapping[str, Any]] = ()
) -> ClassifierReport:
    """How a finished classifier does on images, class by class.

    Args:
        card: Its card.
        scored: Its outputs on the images.
        split: Name of the set of images.
        history: What training watched, epoch by epoch; see `xiqa.training.fit.read_history`.
    """
    logits, goals = scored.logits.double().numpy(), scored.goals.numpy()
    probabilities, names, _ = class_scores(card, logits, card.temperature)
    if is_plain(card) and len(names) == 2:  # as an assessment tells it
        poor = read_outputs(card, logits, card.temperature, card.beta).probabilities
        probabilities = np.column_stack((1 - poor, poor) if card.poor_class == 1 else (poor, 1 - poor))
    truth, _ = truth_of(card, scored.labels.numpy(), goals)
    measured = card.outputs.task in ("ordered", "degree")
    return classifier_report(
        probabilities,
        truth,
        names,
        name=card.name,
        split=split,
        history=history,
        degrees=(degrees_of(card, logits), goals, card.problems) if measured else None,
    )


def _layers(network: nn.Module) -> Layers:
    """The layers that a card names: the network's own, or its body's."""
    inner = network.body if isinstance(network, PooledMLP) else network
    prefix = "body." if isinstance(network, PooledMLP) else ""
    layers = target_layers(inner)
    return Layers(last=prefix + layers.last, multi=tuple(prefix + name for name in layers.stages))


def _calibrate(
    network: nn.Module, recipe: Recipe, val: Scored, poor: NDArray[np.int64]
) -> tuple[float, Beta, NDArray[np.float64]]:
    """Temperature, beta map and calibrated probabilities; an evidence network's margin is shifted as well."""
    logits = val.logits.double()
    if isinstance(network, EvidenceNet):
        temperature, shift = fit_platt(logits[:, 1] - logits[:, 0], poor)
        network.shift(shift)
        logits = logits + torch.tensor([-shift / 2, shift / 2])
    elif recipe.outputs.task == "classes":
        temperature = fit_temperature(logits, val.labels)
    else:  # one temperature for the questions of all problems
        truth, exclusive = truth_of(recipe, val.labels.numpy(), val.goals.numpy())
        answers = poor[:, None] if exclusive else truth[:, _asked(recipe)]
        temperature = fit_temperature(margins(recipe, logits).reshape(-1, 1), answers.reshape(-1))
    beta = fit_beta(read_outputs(recipe, logits, temperature).probabilities, poor)
    return temperature, beta, read_outputs(recipe, logits, temperature, beta).probabilities


def _asked(recipe: Recipe) -> list[int]:
    """Columns of the truth that `margins` speaks of."""
    every = len(problem_names(recipe))
    return list(poor_classes(recipe)) if recipe.outputs.task == "labels" else list(range(every))


def _guard(recipe: Recipe, known: Known) -> Guard | None:
    """A guard on all images at hand; its threshold comes from images of patients that it did not see."""
    if not recipe.guard_layers:
        return None
    distances = out_of_fold_distances(known.features, known.patients, sources=known.sources)
    threshold = float(torch.quantile(distances, 1 - recipe.guard_caught))
    return fit_guard(known.features, recipe.guard_layers, threshold, sources=known.sources)
