"""What a table may show: the direction and the range of each measure, and the measures of whole sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import MetricError
from xiqa.experiments.recipe import Experiment
from xiqa.metrics import MetricInfo, get_metric
from xiqa.metrics.roc import roc_auc
from xiqa.scoring.classifier import f1, precision, recall

__all__ = ["STATISTICS", "VERDICTS", "Statistic", "bounds_of", "direction_of"]

Floats = NDArray[np.float64]

VERDICTS: Mapping[str, bool] = {
    "probability": True,
    "accuracy": True,
    "sensitivity": True,
    "specificity": True,
}
"""Measures of a network's verdict, and whether higher is better."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """A measure of a whole set of images; higher is better, in [0, 1].

    Attributes:
        of: The images' measure that it is made from.
        value: From that and from labels, 1 for the images of the class that the rows are about, or else for
            the poor ones.
        by_rank: Whether only the images' order counts, so that two networks are exchanged rank by rank.
    """

    of: str
    value: Callable[[Floats, Floats], float]
    by_rank: bool = False


STATISTICS: Mapping[str, Statistic] = {
    "AUC": Statistic("probability", roc_auc, by_rank=True),
    "precision": Statistic("called", precision),
    "recall": Statistic("called", recall),
    "F1": Statistic("called", f1),
}


def direction_of(label: str, experiment: Experiment) -> bool | None:
    """Whether higher is better of a measure by its label; None where neither is, or nobody knows."""
    if label in STATISTICS:
        return True
    info = _metric(label, experiment)
    return info.higher_is_better if info else VERDICTS.get(label)


def bounds_of(label: str, experiment: Experiment) -> tuple[float, float]:
    """Smallest and largest possible value of a measure by its label."""
    if label in STATISTICS or label in VERDICTS or label == "called":
        return 0.0, 1.0
    info = _metric(label, experiment)
    return info.bounds if info else (-inf, inf)


def _metric(label: str, experiment: Experiment) -> MetricInfo | None:
    """The metric behind a measure's label, where it is one."""
    names = [measure.metric for measure in experiment.measures if measure.name == label]
    try:
        return get_metric(names[0]) if names else None
    except MetricError:
        return None
