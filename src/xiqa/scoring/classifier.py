"""How a classifier does, class by class: what a paper's table and figure of a classifier show."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from xiqa.config import Section
from xiqa.errors import MetricError
from xiqa.metrics.roc import roc_auc
from xiqa.models.card import Reliability
from xiqa.scoring.calibration import calibration_error, reliability

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Averages", "ClassScore", "ClassifierReport", "DegreeScore", "Epoch", "classifier_report"]

HALF = 0.5


class ClassScore(Section):
    r"""One class against the rest.

    With true and false positives and negatives, an image being called what is most probable (or, where
    classes can come together, everything from even odds on):

    .. math:: \text{precision} = \frac{TP}{TP + FP}, \quad \text{recall} = \frac{TP}{TP + FN}, \quad
        F_1 = \frac{2\,TP}{2\,TP + FP + FN}

    Attributes:
        name: Of the class.
        support: Images that show it.
        precision: 0 where nothing was called so.
        recall: None where no image shows it.
        f1: None where no image shows it.
        auc: Area under the ROC curve of its probability; None where one side is empty.
        calibration_error: Of its probability; see `xiqa.scoring.calibration.calibration_error`.
        reliability: The reliability diagram.
    """

    name: str
    support: int
    precision: float
    recall: float | None
    f1: float | None
    auc: float | None
    calibration_error: float
    reliability: tuple[Reliability, ...]


class Averages(Section):
    """Means over the classes that the images show: of all alike (macro), or by support (weighted)."""

    precision: float
    recall: float
    f1: float


class DegreeScore(Section):
    r"""How well a degree or an ordered grade is told.

    Attributes:
        name: Of the problem.
        mean_absolute_error: :math:`\frac1N \sum_n |\hat y_n - y_n|`, of grades or degrees.
        root_mean_square_error: :math:`\sqrt{\frac1N \sum_n (\hat y_n - y_n)^2}`.
        rank_correlation: Spearman's; None where all truths or all predictions are the same.
    """

    name: str
    mean_absolute_error: float
    root_mean_square_error: float
    rank_correlation: float | None


class Epoch(Section):
    """What training watched after one epoch, on the validation images; ``kept``: its weights were."""

    epoch: int
    phase: int
    kept: bool
    loss: float
    auc: float
    accuracy: float
    recall: dict[str, float]


class ClassifierReport(Section):
    """A classifier's scores on one set of images.

    Attributes:
        name: Of the classifier.
        split: Name of the set.
        images: How many.
        exclusive: Whether exactly one class is right for an image.
        accuracy: Images called right; where classes can come together, answers that are right.
        classes: Class by class.
        macro: Mean over classes.
        weighted: Mean over classes, by support.
        confusion: Rows are the truth, columns what it was called; where classes can come together, for each
            class the two rows (absent, present) one below the other.
        degrees: Of ordered grades and degrees.
        history: Epoch by epoch.
    """

    name: str
    split: str
    images: int
    exclusive: bool
    accuracy: float
    classes: tuple[ClassScore, ...]
    macro: Averages
    weighted: Averages
    confusion: tuple[tuple[int, ...], ...]
    degrees: tuple[DegreeScore, ...] = ()
    history: tuple[Epoch, ...] = ()


def classifier_report(
    probabilities: ArrayLike,
    truth: ArrayLike,
    classes: Sequence[str],
    *,
    name: str = "classifier",
    split: str = "images",
    history: Sequence[Mapping[str, Any]] = (),
    degrees: tuple[ArrayLike, ArrayLike, Sequence[str]] | None = None,
) -> ClassifierReport:
    """Score predicted probabilities against the truth.

    Args:
        probabilities: ``(N, C)``, of each class.
        truth: ``(N,)`` indices where exactly one class is right; ``(N, C)`` of 0 and 1 where several can be.
        classes: Names of the C classes.
        name: Of the classifier.
        split: Name of the set of images.
        history: What training watched (`xiqa.training.fit.read_history`): rows with ``epoch``, ``phase``,
            ``kept``, ``loss``, ``auc``, ``accuracy`` and ``recall:CLASS``.
        degrees: ``(N, P)`` predicted and true degrees (or grades), and the names of the P problems.

    Returns:
        The report.

    Raises:
        MetricError: There are no images, or shapes that do not fit one another.

    >>> report = classifier_report([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 1], ["good", "poor"])
    >>> report.classes[1].recall, report.classes[1].precision, report.confusion
    (0.5, 1.0, ((1, 0), (1, 1)))
    """
    scores, given = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.int64)
    exclusive = given.ndim == 1
    shapes = scores.shape, given.shape if exclusive else given.shape[:1]
    if shapes != ((len(given), len(classes)), (len(given),)) or len(given) == 0:
        raise MetricError(
            "probabilities and truth do not fit",
            expected=f"(N, {len(classes)}) and (N,) or (N, {len(classes)}), N at least 1",
            got=f"{scores.shape} and {given.shape}",
        )
    count = len(classes)
    there = given[:, None] == np.arange(count) if exclusive else given.astype(bool)
    called = scores.argmax(1)[:, None] == np.arange(count) if exclusive else scores >= HALF
    rows = tuple(
        _class_score(name, scores[:, c], there[:, c], called[:, c]) for c, name in enumerate(classes)
    )
    agree = (there & called).any(axis=1) if exclusive else there == called
    return ClassifierReport(
        name=name,
        split=split,
        images=len(given),
        exclusive=exclusive,
        accuracy=float(agree.mean()),
        classes=rows,
        macro=_averages(rows, [1.0] * count),
        weighted=_averages(rows, [float(row.support) for row in rows]),
        confusion=_confusion(there, called, exclusive),
        degrees=_degree_scores(*degrees) if degrees else (),
        history=tuple(_epoch(row) for row in history),
    )


def _class_score(
    name: str, scores: NDArray[np.float64], there: NDArray[np.bool_], called: NDArray[np.bool_]
) -> ClassScore:
    """One class against the rest."""
    support = int(there.sum())
    return ClassScore(
        name=name,
        support=support,
        precision=precision(called, there),
        recall=recall(called, there) if support else None,
        f1=f1(called, there) if support else None,
        auc=roc_auc(scores, there) if 0 < support < len(there) else None,
        calibration_error=calibration_error(scores, there),
        reliability=reliability(scores, there),
    )


def precision(called: NDArray[Any], there: NDArray[Any]) -> float:
    """Share of the images called so that are so; 0 where none is called so."""
    return float((called * there).sum() / max(called.sum(), 1))


def recall(called: NDArray[Any], there: NDArray[Any]) -> float:
    """Share of the images that are so that are called so; NaN where none is."""
    return float((called * there).sum() / there.sum()) if there.any() else nan


def f1(called: NDArray[Any], there: NDArray[Any]) -> float:
    """Harmonic mean of precision and recall; NaN where no image is so."""
    return float(2 * (called * there).sum() / (called.sum() + there.sum())) if there.any() else nan


def _averages(rows: Sequence[ClassScore], weights: Sequence[float]) -> Averages:
    """Means over the classes that any image shows."""
    known = [(row, weight) for row, weight in zip(rows, weights, strict=True) if row.support]
    total = sum(weight for _, weight in known) or 1.0

    def mean(entry: str) -> float:
        return float(sum(getattr(row, entry) * weight for row, weight in known) / total)

    return Averages(precision=mean("precision"), recall=mean("recall"), f1=mean("f1"))


def _confusion(
    there: NDArray[np.bool_], called: NDArray[np.bool_], exclusive: bool
) -> tuple[tuple[int, ...], ...]:
    """Counts of truth (rows) and calls (columns)."""
    if exclusive:
        table = there.astype(np.int64).T @ called.astype(np.int64)
        return tuple(tuple(map(int, row)) for row in table)
    pairs = [(~there[:, c], there[:, c]) for c in range(there.shape[1])]
    return tuple(
        (int((truth & ~called[:, c]).sum()), int((truth & called[:, c]).sum()))
        for c, sides in enumerate(pairs)
        for truth in sides
    )


def _degree_scores(predicted: ArrayLike, true: ArrayLike, names: Sequence[str]) -> tuple[DegreeScore, ...]:
    """How well each problem's degree is told."""
    from scipy.stats import spearmanr  # noqa: PLC0415 - takes half a second

    said, real = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if said.shape != real.shape or said.shape[1:] != (len(names),):
        raise MetricError(
            "degrees do not fit", expected=f"(N, {len(names)}) twice", got=f"{said.shape}, {real.shape}"
        )
    results = []
    for column, name in enumerate(names):
        error = said[:, column] - real[:, column]
        flat = np.ptp(said[:, column]) == 0 or np.ptp(real[:, column]) == 0
        results.append(
            DegreeScore(
                name=name,
                mean_absolute_error=float(np.abs(error).mean()),
                root_mean_square_error=float(np.sqrt((error**2).mean())),
                rank_correlation=None
                if flat
                else float(spearmanr(said[:, column], real[:, column]).statistic),
            )
        )
    return tuple(results)


def _epoch(row: Mapping[str, Any]) -> Epoch:
    """One row of the history."""
    recall = {key.removeprefix("recall:"): value for key, value in row.items() if key.startswith("recall:")}
    return Epoch(recall=recall, **{key: row[key] for key in Epoch.model_fields if key != "recall"})
