"""A bundle calibrated at a site: probabilities, threshold, band and guard move, the network never."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import expit, logit

from xiqa.errors import DatasetError, ModelError
from xiqa.models.calibrated import calibrated_log_odds
from xiqa.models.card import Reference, SiteCalibration
from xiqa.models.guard import folds_of, pooled
from xiqa.models.views.check import likeliest_other
from xiqa.saliency.capture import ForwardPass, Watch
from xiqa.scoring.evaluation import Scores, summarise
from xiqa.scoring.site import fit_log_odds, fit_site, require_patients
from xiqa.scoring.tolerance import fewest_trials, lower_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from xiqa.datasets import Sample
    from xiqa.datasets.collection import Collection
    from xiqa.models.bundle import LoadedModel
    from xiqa.models.card import BundleCard, Evaluation
    from xiqa.models.guard import Guard
    from xiqa.types import MaskArray

__all__ = ["SiteScores", "calibrate_at", "reference_of", "score_site", "site_samples", "with_reference"]

LET_PASS = 0.95
"""Share of a site's images that its guard lets pass, at least, with 95 % confidence."""

STRETCH = 1.25
"""How far a site may raise the guard's limit: beyond, its images are too unlike those of the training."""

GOOD = ("good", "accept", "accepted")
POOR = ("poor", "reacquire", "reject", "rejected")


@dataclass(frozen=True, slots=True, eq=False)
class SiteScores:
    """What a model says of a site's images.

    Attributes:
        log_odds: ``(N,)`` of poor quality, at the model's calibration.
        poor: ``(N,)`` what people said.
        patients: Whom each image shows.
        features: ``(N, F)`` the guard's; None without a guard.
        left_out: Images that the view check takes for something else, whose scores say nothing.
    """

    log_odds: NDArray[np.float64]
    poor: MaskArray
    patients: list[str]
    features: Tensor | None
    left_out: int = 0

    def pick(self, kept: MaskArray) -> SiteScores:
        """The scores of some of the images."""
        patients = [name for name, keep in zip(self.patients, kept.tolist(), strict=True) if keep]
        features = None if self.features is None else self.features[torch.from_numpy(kept)]
        return replace(
            self, log_odds=self.log_odds[kept], poor=self.poor[kept], patients=patients, features=features
        )


def site_samples(
    card: BundleCard, collection: Collection, splits: Sequence[str] = ("train", "val")
) -> list[Sample]:
    """A site's images, labelled 1 where poor.

    Args:
        card: Names the classes.
        collection: Of the card's classes, or of ``good`` and ``poor`` (``accept``, ``reacquire``, ...).
        splits: Which; the test images are usually left for a later measurement.

    Raises:
        DatasetError: Another class, or no image.
    """
    poor = {*POOR, *card.problems}
    good = {*GOOD, *card.classes} - poor
    unknown = [name for name in collection.classes if name not in good | poor]
    samples = [sample for sample in collection.samples if sample.split in splits]
    if unknown or not samples:
        raise DatasetError(
            "no images of good and poor quality",
            expected=f"classes of {', '.join(sorted(good))} and of {', '.join(sorted(poor))}",
            got=", ".join(unknown) or f"no image of {' or '.join(splits)}",
        )
    return [
        replace(
            sample,
            label=int(collection.classes[sample.label] in poor),
            patient=sample.patient or sample.key,
        )
        for sample in samples
    ]


def score_site(
    model: LoadedModel, samples: Iterable[Sample], tick: Callable[[], object] = lambda: None
) -> SiteScores:
    """Run a model over a site's images.

    Args:
        model: The bundle.
        samples: See `site_samples`.
        tick: Called after every image, for a progress bar.
    """
    watch = Watch(() if model.guard is None else model.guard.layers, pooled)
    odds, poor, patients, features = [], [], [], []
    left_out = 0
    for sample in samples:
        images = torch.from_numpy(model.prepare(sample.read())[0])[None]
        tick()
        if model.view is not None:
            shares: list[float] = model.view.probabilities(images)[0].tolist()
            if likeliest_other(model.view.check, shares) is not None:
                left_out += 1
                continue
        passed = ForwardPass(model.network, images, grad=False, watch=watch)
        odds.append(float(calibrated_log_odds(passed.logits.double(), model.card)[0]))
        poor.append(bool(sample.label))
        patients.append(sample.patient)
        if model.guard is not None:
            features.append(model.guard.join(passed.features))
    joined = torch.cat(features) if features else None
    return SiteScores(np.array(odds), np.array(poor, dtype=bool), patients, joined, left_out)


def calibrate_at(
    model: LoadedModel, scores: SiteScores, site: str, *, sensitivity: float = 0.9
) -> LoadedModel:
    r"""A bundle derived from a model for one site.

    With the site's slope and shift (`xiqa.scoring.site.fit_site`) the beta map :math:`(a, b, c)` becomes
    :math:`(\alpha a, \alpha b, \alpha c + \beta)`. The review band keeps its distances from the threshold on
    the log-odds. The guard gets the site's centre; its limit rises, where it must, so that 95 % of the site's
    patients pass with a confidence of 95 %.

    Args:
        model: The bundle.
        scores: Of the site's images, by `score_site`.
        site: Its name.
        sensitivity: Promised; see `xiqa.scoring.site.fit_site`.

    Returns:
        The model with its new guard and card. The card's evaluation is of the same images, each with slope,
        shift and centre of the other four fifths; only the threshold knows them all.

    Raises:
        ModelError: Too few images, or a site whose images the guard cannot come to know.
    """
    needed = fewest_trials(LET_PASS) if model.guard is not None else fewest_trials(0.9)
    require_patients(scores.poor.tolist(), scores.patients, sensitivity, needed)
    card = model.card
    fit = fit_site(scores.log_odds, scores.poor, scores.patients, sensitivity=sensitivity)
    guard, distances = _guard_at(model.guard, scores)
    probabilities = expit(_out_of_fold(scores))
    a, b, c = card.beta
    threshold = float(np.clip(expit(fit.threshold), 1e-6, 1 - 1e-6))
    limit = np.inf if guard is None else guard.threshold
    caught = np.zeros(len(probabilities), bool) if distances is None else distances >= limit
    derived = card.model_copy(
        update={
            "name": f"{card.name} at {site}",
            "created": datetime.now(UTC).date().isoformat(),
            "beta": (fit.slope * a, fit.slope * b, fit.slope * c + fit.shift),
            "threshold": threshold,
            "review_band": _band(card, threshold),
            "limits": f"Calibrated at {site}: elsewhere its probabilities and its threshold mean nothing. "
            f"{card.limits}",
            "evaluations": (_evaluation(scores, probabilities, caught, site, threshold),),
            "guard_reports": (),
            # no network learned from these images, so the fitted map's own probabilities are what comes later
            "reference": reference_of(site, scores, expit(fit.apply(scores.log_odds)), distances),
            "calibrated_at": SiteCalibration(
                site=site,
                parent=card.hash,
                images=len(scores.poor),
                poor=int(scores.poor.sum()),
                patients=len(set(scores.patients)),
                slope=fit.slope,
                shift=fit.shift,
                sensitivity=sensitivity,
                guard_limit=None if model.guard is None else model.guard.threshold,
            ),
        }
    )
    return replace(model, card=derived, guard=guard)


def with_reference(model: LoadedModel, scores: SiteScores, name: str) -> BundleCard:
    """The model's card with a reference of images that nothing was fitted on.

    Args:
        model: The bundle.
        scores: By `score_site`.
        name: Which images.
    """
    distances = None
    if model.guard is not None and scores.features is not None:
        distances = model.guard.distances(scores.features).double().numpy()
    told = reference_of(name, scores, expit(scores.log_odds), distances)
    return model.card.model_copy(update={"reference": told})


def reference_of(
    name: str,
    scores: SiteScores,
    probabilities: NDArray[np.float64],
    distances: NDArray[np.float64] | None,
) -> Reference:
    """What later results are compared with: one image a patient of either quality, its first.

    Args:
        name: Which images.
        scores: Of these.
        probabilities: ``(N,)`` calibrated.
        distances: ``(N,)`` the guard's; None without one.
    """
    first: dict[tuple[str, bool], int] = {}
    for place, key in enumerate(zip(scores.patients, scores.poor.tolist(), strict=True)):
        first.setdefault(key, place)

    def ordered(values: NDArray[np.float64] | None, poor: bool) -> tuple[float, ...]:
        if values is None:
            return ()
        return tuple(sorted(round(float(values[place]), 5) for key, place in first.items() if key[1] == poor))

    return Reference(
        name=name,
        good=ordered(probabilities, False),
        poor=ordered(probabilities, True),
        good_distances=ordered(distances, False),
        poor_distances=ordered(distances, True),
    )


def _out_of_fold(scores: SiteScores) -> NDArray[np.float64]:
    """Each image's log-odds with slope and shift of the other patients."""
    fold, odds = folds_of(scores.patients), np.empty(len(scores.log_odds))
    for part in np.unique(fold):
        rest, held = scores.pick(fold != part), fold == part
        slope, shift = fit_log_odds(rest.log_odds, rest.poor, rest.patients)
        odds[held] = slope * scores.log_odds[held] + shift
    return odds


def _guard_at(guard: Guard | None, scores: SiteScores) -> tuple[Guard | None, NDArray[np.float64] | None]:
    """The guard that knows a site, and each image's distance to one that knows the other patients' alone."""
    if guard is None or scores.features is None:
        return None, None
    fold, distances = folds_of(scores.patients), np.empty(len(scores.poor))
    for part in np.unique(fold):
        held = torch.from_numpy(fold == part)
        distances[fold == part] = guard.with_source(scores.features[~held]).distances(scores.features[held])
    farthest: dict[str, float] = {}
    for name, distance in zip(scores.patients, distances.tolist(), strict=True):
        farthest[name] = max(distance, farthest.get(name, -np.inf))
    # half a percent above the last image that passes, so that rounding moves none
    limit = -1.005 * lower_limit(-np.array(list(farthest.values())), LET_PASS)
    if limit > STRETCH * guard.threshold:
        raise ModelError(
            "the guard takes this site's images for something else",
            expected=f"95 % of them within a distance of {STRETCH * guard.threshold:.1f}",
            got=f"within {limit:.1f}",
            todo="train with images of the site",
        )
    known = guard.with_source(scores.features)
    return replace(known, threshold=max(limit, guard.threshold)), distances


def _band(card: BundleCard, threshold: float) -> tuple[float, float]:
    """The review band around a new threshold, as wide on the log-odds as the card's is on either side."""
    middle, (low, high) = logit(card.threshold), logit(np.array(card.review_band))
    return (
        float(expit(logit(threshold) - (middle - low))),
        float(expit(logit(threshold) + (high - middle))),
    )


def _evaluation(
    scores: SiteScores,
    probabilities: NDArray[np.float64],
    caught: NDArray[Any],
    site: str,
    threshold: float,
) -> Evaluation:
    """The card's section on the site's images."""
    told = Scores(
        patients=scores.patients,
        poor=scores.poor.tolist(),
        probabilities=probabilities.tolist(),
        caught=caught.tolist(),
    )
    return summarise(told, site, threshold, 0.0).model_copy(update={"tolerance": None})
