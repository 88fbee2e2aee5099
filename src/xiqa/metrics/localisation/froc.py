"""FROC, the localisation score of the Object-CXR challenge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Annotated, Any, Literal

import numpy as np

from xiqa.errors import MetricError
from xiqa.geometry import Point
from xiqa.metrics.arguments import Count, Levels, Map, NotNegative, Rule, Share, checked
from xiqa.metrics.registry import metric
from xiqa.metrics.truth import Truth, contains, read_truth
from xiqa.saliency.peaks import peaks
from xiqa.types import Annotation

__all__ = ["LEVELS", "Candidate", "FrocCurve", "candidates", "froc", "froc_curve"]

#: False positives an image at which the sensitivity is read.
LEVELS = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)

#: A place where an object is suspected, and how surely.
Candidate = tuple[Point, float]


def _read_candidates(found: Any) -> list[list[Candidate]]:
    read = [[(Point(*point), float(score)) for point, score in places] for places in found]
    if not all(np.isfinite((*point, score)).all() for places in read for point, score in places):
        raise ValueError
    return read


Candidates = Annotated[
    Sequence[Sequence[Candidate]],
    Rule("for each image a list of (point, score), all finite", _read_candidates),
]
Truths = Annotated[
    Sequence[Truth],
    Rule("for each image a list of annotations with finite boxes", lambda truths: [*map(read_truth, truths)]),
]


@dataclass(frozen=True)
class FrocCurve:
    """Sensitivity after each candidate, surest first.

    Candidates that are equally sure come together: no threshold tells them apart. The curve is known after
    the last of each such group, whatever the order within.

    Attributes:
        false_positives: Mean number an image, not falling.
        sensitivity: Share of all objects found, not falling.
        ends: Whether a candidate is the last of those that are as sure as it.
        is_false_positive: Where a candidate was a false positive.
        finds: How many objects a candidate is the first to find.
        image: Index of a candidate's image.
        objects: Number of objects of each image.
    """

    false_positives: np.ndarray
    sensitivity: np.ndarray
    ends: np.ndarray
    is_false_positive: np.ndarray
    finds: np.ndarray
    image: np.ndarray
    objects: np.ndarray

    def drawn(self, times: np.ndarray) -> FrocCurve:
        """The curve of a set in which each image stands so many times, ``(images,)``: a bootstrap's draw."""
        weight = times[self.image]
        total = float(times @ self.objects)
        return replace(
            self,
            false_positives=(weight * self.is_false_positive).cumsum() / max(1, times.sum()),
            sensitivity=(weight * self.finds).cumsum() / (total or nan),
        )

    def mean_sensitivity(self, levels: Sequence[float] = LEVELS) -> float:
        """Mean over the levels of the sensitivity at the last candidate that keeps within the level."""
        steps = np.searchsorted(self.false_positives[self.ends], np.asarray(levels), side="right")
        return float(np.concatenate([[0.0], self.sensitivity[self.ends]])[steps].mean())


@checked
def candidates(
    saliency: Map, probability: Share = 1.0, *, count: Count = 10, separation: NotNegative = 30.0
) -> list[Candidate]:
    """The peaks of a map as candidates: each as sure as the image's probability times its relative height.

    Heights are taken from the map's minimum, so that the highest peak has the image's probability.
    """
    places = peaks(saliency, count=count, separation=separation)
    if not places:
        return []
    low, high = float(saliency.min()), places[0][1]
    return [(point, probability * (value / 2 - low / 2) / (high / 2 - low / 2)) for point, value in places]


def froc_curve(found: Sequence[Sequence[Candidate]], truths: Sequence[Truth]) -> FrocCurve:
    """Go through all candidates of a data set, surest first.

    A candidate inside an object finds every object it lies in; one that lies in no object is a false
    positive; one inside an object that was found before is neither.

    Leave out objects outside the image (`xiqa.metrics.truth.objects_on`): the curve does not know how large
    it is, but for objects with masks.

    Raises:
        MetricError: Not as many lists of candidates as of truths, or a candidate beyond an object's mask.
    """
    if len(found) != len(truths):
        raise MetricError("candidates and truths do not fit", expected=str(len(truths)), got=str(len(found)))
    truths = [[a for a in truth if a.mask is None or a.mask.any()] for truth in truths]
    pool = [(score, image, point) for image, places in enumerate(found) for point, score in places]
    pool.sort(key=lambda entry: -entry[0])
    for _, image, point in pool:
        for annotation in truths[image]:
            _check_on_mask(annotation, point)
    seen: set[tuple[int, int]] = set()
    finds, misses = np.zeros(len(pool)), np.zeros(len(pool), bool)
    for step, (_, image, point) in enumerate(pool):
        inside = {(image, index) for index, a in enumerate(truths[image]) if contains(a, point)}
        finds[step] = len(inside - seen)
        misses[step] = not inside
        seen |= inside
    objects = np.array([len(truth) for truth in truths], int)
    sureness = np.array([score for score, _, _ in pool], float)
    return FrocCurve(
        ends=np.append(sureness[1:] != sureness[:-1], True)[: len(pool)],
        false_positives=misses.cumsum() / max(1, len(truths)),
        sensitivity=finds.cumsum() / (objects.sum() or nan),
        is_false_positive=misses,
        finds=finds,
        image=np.array([image for _, image, _ in pool], int),
        objects=objects,
    )


def _check_on_mask(annotation: Annotation, point: Point) -> None:
    if annotation.mask is not None:
        rows, columns = annotation.mask.shape
        if not (-0.5 <= point.x < columns - 0.5 and -0.5 <= point.y < rows - 0.5):
            raise MetricError(
                "a candidate and the truth's mask lie on different grids",
                expected=f"a point on a mask of {annotation.mask.shape}",
                got=str(tuple(point)),
                todo="bring the map to the image's grid first",
            )


@metric(
    "froc",
    "localisation",
    higher_is_better=True,
    bounds=(0, 1),
    truth="objects",
    cite="objectcxr2020",
    scope="set",
    cases={
        "no_truth": nan,
        "full_truth": 1.0,
        "constant": 0.0,
        "non_finite": 0.0,
        "ties": "are taken together",
    },
)
def froc(
    found: Candidates,
    truths: Truths,
    *,
    levels: Levels = LEVELS,
    profile: Literal["paper", "reference"] = "paper",
) -> float:
    r"""Mean sensitivity at fixed numbers of false positives an image, over a data set.

    .. math:: \mathrm{FROC} = \frac{1}{7} \sum_{\phi \in \{1/8, \dots, 8\}}
       \max_{\theta:\, \mathrm{FP}(\theta) \le \phi} \mathrm{Sens}(\theta)

    A hit is a candidate point inside the true shape; see `froc_curve` and, for candidates from maps,
    `candidates`.

    **Pitfalls.** Ten images do not resolve 1/8 false positives an image. The number of candidates an image
    bounds the false positives and with them the upper levels.

    **Variants.** ``profile="reference"`` reads the curve as the challenge's script does: at the candidate
    with which the false positives *reach* the level, at most one level a candidate, levels that are never
    reached filled with the last that was, and 0 when none was, even for a detector without a false
    positive.

    Args:
        found: Candidates of each image.
        truths: Objects of each image; images without any count for the false positives.
        levels: False positives an image.
        profile: ``paper`` or ``reference``.

    Returns:
        In [0, 1]; NaN when there is no object at all.

    Raises:
        MetricError: Lists that do not fit.
    """
    curve = froc_curve(found, truths)
    if not curve.objects.any():
        return nan
    if profile == "reference":
        return float(np.mean(_as_the_script(curve, levels)))
    return curve.mean_sensitivity(levels)


def _as_the_script(curve: FrocCurve, levels: Sequence[float]) -> list[float]:
    read: list[float] = []
    ends = zip(curve.false_positives[curve.ends], curve.sensitivity[curve.ends], strict=True)
    for false_positives, sensitivity in ends:
        if len(read) < len(levels) and false_positives >= levels[len(read)]:
            read.append(float(sensitivity))
    read = read or [0.0]
    return read + [read[-1]] * (len(levels) - len(read))
