"""Results of a site's images against the reference on the model's card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xiqa.errors import ConfigError, ModelError
from xiqa.files import regular_bytes
from xiqa.scoring.counts import rate_of
from xiqa.scoring.drift import drifts
from xiqa.types import Assessment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from xiqa.models.card import BundleCard
    from xiqa.scoring.counts import Rate
    from xiqa.scoring.drift import Drift

__all__ = ["Monitored", "monitor", "read_results"]

MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Monitored:
    """What a site's results say of the model there.

    Attributes:
        reference: Name of the card's reference.
        drifts: Of the probability, and of the guard's distance where there is a guard.
        verdicts: The rate of each verdict.
        other_view: Images that the view check takes for something else; they take no part in the drifts.
        beyond_guard: Of the rest, those beyond the guard's limit.
        images: How many images of the model there are,
        studies: how many studies (images without one count each): the drifts look at one image of each.
        left_out: Results of other models, of whole series, or without a probability.
    """

    reference: str
    drifts: tuple[Drift, ...]
    verdicts: dict[str, Rate]
    other_view: Rate
    beyond_guard: Rate | None
    images: int
    studies: int
    left_out: int

    @property
    def moved(self) -> bool:
        """Whether anything has moved."""
        return any(drift.moved for drift in self.drifts)


def read_results(path: Path) -> list[Assessment]:
    """The results that a run left behind.

    Args:
        path: Its folder, or its ``results.json``.

    Raises:
        ConfigError: There are none.
        XiqaError: They are of another version.
    """
    file = path / "results.json" if path.is_dir() else path
    try:
        rows = json.loads(regular_bytes(file, MOST_BYTES))
        if not isinstance(rows, list):
            raise ValueError("no list")
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"no results in {file}",
            expected="a folder that `xiqa assess` wrote, or its results.json",
            got=str(error),
        ) from error
    return [Assessment.from_dict(row) for row in rows]


def monitor(card: BundleCard, results: Iterable[Assessment], *, level: float = 0.01) -> Monitored:
    """Compare a site's results with the reference on the model's card.

    Args:
        card: Of the model that gave the results.
        results: By `read_results`; several images of a study count once, by the first file.
        level: False alarms allowed a look, for probability and distance together.

    Raises:
        ModelError: The card has no reference, or no result is of this model.
        MetricError: Too few images.
    """
    if card.reference is None:
        raise ModelError(
            f"the card of {card.name} has no reference",
            todo="`xiqa models reference` keeps one of labelled images, `xiqa models calibrate` of a site's",
        )
    told = sorted(results, key=lambda result: (result.file, result.source.frame))
    own = [result for result in told if _counts(card, result)]
    if not own:
        seen = sorted({str(result.provenance.get("model_hash")) for result in told})
        raise ModelError("no result is of this model", expected=card.hash, got=", ".join(seen) or "nothing")
    frontal = [result for result in own if _expected_view(card, result)]
    first = {_study(result): result for result in reversed(frontal)}.values()
    distances = [_distance(result) for result in first]
    known = [distance for distance in distances if distance is not None]
    far = [_far(result) for result in frontal]
    return Monitored(
        reference=card.reference.name,
        drifts=tuple(
            drifts(
                card.reference,
                np.array([result.probability for result in first], dtype=float),
                np.array(known) if known else None,
                level=level,
            )
        ),
        verdicts={
            verdict: rate_of(sum(result.verdict.value == verdict for result in own), len(own))
            for verdict in ("accept", "review", "reacquire")
        },
        other_view=rate_of(len(own) - len(frontal), len(own)),
        beyond_guard=rate_of(sum(far), len(far)) if known else None,
        images=len(own),
        studies=len({_study(result) for result in own}),
        left_out=len(told) - len(own),
    )


def _counts(card: BundleCard, result: Assessment) -> bool:
    """Whether a result is one image's, of this very model."""
    same = result.provenance.get("model_hash") == card.hash
    return same and result.probability is not None and result.series is None


def _expected_view(card: BundleCard, result: Assessment) -> bool:
    """Whether the view check, where there is one, takes the image for what the model was made for."""
    return card.view is None or result.provenance.get("view", card.view.views[0]) == card.view.views[0]


def _study(result: Assessment) -> str:
    """What independent images differ in."""
    return result.source.identifiers.get("StudyInstanceUID") or f"{result.file}:{result.source.frame}"


def _distance(result: Assessment) -> float | None:
    """The guard's distance; None without one."""
    told: Any = result.provenance.get("guard_distance")
    return None if told is None else np.inf if told == "infinite" else float(told)


def _far(result: Assessment) -> bool:
    """Whether the guard speaks."""
    distance, limit = _distance(result), result.provenance.get("guard_limit")
    return distance is not None and limit is not None and distance >= float(limit)
