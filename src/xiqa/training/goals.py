"""What each kind of head learns of a sample, and which samples are of poor quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xiqa.errors import DatasetError
from xiqa.models.outputs import poor_classes, problem_names

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from xiqa.datasets import Sample
    from xiqa.models.outputs import Meaning

__all__ = ["degrees_in", "goal_of", "is_poor", "truth_of"]

DEGREE = "degree"
"""Name of the degree where there is only one, as in the tag ``degree=0.4``."""


def degrees_in(sample: Sample) -> dict[str, float]:
    """The degrees that a sample's tags tell.

    Raises:
        DatasetError: A degree is no number.

    >>> from xiqa.datasets import Sample
    >>> from pathlib import Path
    >>> degrees_in(Sample("a", Path(), 1, "train", tags=("noise=0.25", "portable")))
    {'noise': 0.25}
    """
    degrees = {}
    for name, equals, text in (tag.partition("=") for tag in sample.tags):
        if equals:
            try:
                degrees[name] = float(text)
            except ValueError:
                raise DatasetError(
                    f"{sample.key}: no degree of {name}", expected="a number", got=repr(text)
                ) from None
    return degrees


def goal_of(meaning: Meaning, sample: Sample) -> tuple[float, ...]:
    """What the head learns of a sample beside its class index.

    Args:
        meaning: The recipe.
        sample: A sample, whose label is an index into the recipe's classes.

    Returns:
        *labels*: 1 for each label that is there, else 0. *ordered*: the grade of each problem. *degree*: the
        degree of each problem. *classes*: nothing.

    Raises:
        DatasetError: A tag or a degree that the recipe does not know.
    """
    outputs = meaning.outputs
    if outputs.task == "classes":
        return ()
    if outputs.task == "labels":
        return tuple(float(name in sample.tags) for name in meaning.classes)
    if outputs.task == "ordered" and not outputs.problems:
        return (float(sample.label),)
    degrees = degrees_in(sample)
    names = outputs.problems or (DEGREE,)
    unknown = set(degrees) - set(names)
    if unknown or (not outputs.problems and DEGREE not in degrees):
        raise DatasetError(
            f"{sample.key}: other problems than the recipe's", expected=", ".join(names), got=str(sample.tags)
        )
    grades = np.array([degrees.get(name, 0.0) for name in names])
    if outputs.task == "ordered":
        grades = np.searchsorted(outputs.grades_from, grades, side="right")
    return tuple(map(float, grades))


def is_poor(meaning: Meaning, labels: ArrayLike, goals: ArrayLike) -> NDArray[np.int64]:
    """1 for images of poor quality, else 0.

    Args:
        meaning: The recipe.
        labels: ``(N,)`` class indices.
        goals: ``(N, P)`` of `goal_of`.

    Returns:
        ``(N,)``.
    """
    truth, exclusive = truth_of(meaning, labels, goals)
    poor = poor_classes(meaning)
    if exclusive:
        return np.isin(truth, poor).astype(np.int64)
    columns = list(poor) if meaning.outputs.task == "labels" else list(range(len(problem_names(meaning))))
    return np.asarray(truth[:, columns].any(axis=1), dtype=np.int64)


def truth_of(meaning: Meaning, labels: ArrayLike, goals: ArrayLike) -> tuple[NDArray[np.int64], bool]:
    """The truth that `xiqa.models.outputs.class_scores` is compared with.

    Args:
        meaning: The recipe.
        labels: ``(N,)`` class indices.
        goals: ``(N, P)`` of `goal_of`.

    Returns:
        ``(N,)`` class indices where exactly one class is right, else ``(N, C)`` of 0 and 1; and which of
        the two it is.
    """
    outputs, values = meaning.outputs, np.asarray(goals, dtype=np.float64)
    if outputs.task == "classes" or (outputs.task == "ordered" and not outputs.problems):
        return np.asarray(labels, dtype=np.int64), True
    if outputs.task == "labels":
        return values.astype(np.int64), False
    limit = outputs.limit if outputs.task == "degree" else meaning.poor_class
    return (values >= limit).astype(np.int64), False
