"""From a probability and a distance to a verdict and its reason."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from xiqa.errors import Code
from xiqa.models.views.check import likeliest_other
from xiqa.report.words import percent
from xiqa.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xiqa.models.card import BundleCard

__all__ = ["Decided", "decide"]


class Decided(NamedTuple):
    """What to do with an image, why in one word for programs, and why in one sentence for people."""

    verdict: Verdict
    code: Code
    reason: str


_SEEN = {
    "inverted": "the image seems to be a negative, bones dark",
    "upside_down": "the image seems to be upside down",
    "on_its_side": "the image seems to lie on its side",
    "lateral": "the image seems to be a lateral view",
    "other": "the image does not seem to be a frontal chest radiograph",
}


def decide(
    card: BundleCard,
    probability: float,
    distance: float | None = None,
    limit: float | None = None,
    problem: str | None = None,
    views: Sequence[float] | None = None,
) -> Decided:
    """What to do with an image, and why.

    The view check and the guard speak first: about an image that the model was not made for, its probability
    says nothing. Inside the review band, edges included, a person looks; above it the image is poor, below
    it good.

    Args:
        card: The model's card, with threshold and review band.
        probability: Calibrated, of poor quality.
        distance: Of the guard; None where the model has none.
        limit: Distance from which the guard speaks.
        problem: The likeliest problem, where the model tells several apart.
        views: Probabilities of the view check; None where the model has none.
    """
    low, high = card.review_band
    if not isfinite(probability):
        return Decided(Verdict.NOT_ASSESSED, Code.NO_NUMBER, "the network gave no number for this image")
    other = None if card.view is None or views is None else likeliest_other(card.view, views)
    if other is not None and views is not None:
        share = f"an upright frontal view {percent(views[0])} % likely"
        reason = f"{_SEEN.get(other, other)} ({share}): a person should look"
        return Decided(Verdict.REVIEW, Code.UNLIKE_TRAINING, reason)
    if distance is not None and limit is not None and not distance < limit:
        numbers = f"distance {distance:.1f}, limit {limit:.1f}"
        reason = f"unlike the images that the model was made for ({numbers}): a person should look"
        return Decided(Verdict.REVIEW, Code.UNLIKE_TRAINING, reason)
    likely = f"{percent(probability)} %"
    kind = (problem or card.classes[card.poor_class]).replace("_", " ")
    if low <= probability <= high and low < high:
        band = f"{percent(low)} to {percent(high)} %"
        what = f"poor quality ({kind})" if problem else "poor quality"
        reason = f"the probability of {what}, {likely}, is in the range {band} where a person should look"
        return Decided(Verdict.REVIEW, Code.REVIEW_BAND, reason)
    limits = f"{likely}, limit {percent(card.threshold)} %"
    if probability >= card.threshold:
        return Decided(Verdict.REACQUIRE, Code.POOR, f"poor quality ({kind}) is likely: {limits}")
    return Decided(Verdict.ACCEPT, Code.GOOD, f"poor quality ({kind}) is unlikely: {limits}")
