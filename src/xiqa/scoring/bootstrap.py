"""Resampling by patient: whole patients are drawn with replacement, with all their images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import XiqaError

__all__ = ["bootstrap_means", "bootstrap_values", "patient_numbers"]

Floats = NDArray[np.float64]

_CHUNK = 1000  # resamples at once, which bounds memory at a few megabytes a hundred patients


def patient_numbers(patients: Sequence[str] | None, images: int) -> tuple[NDArray[np.intp], int]:
    """The number of each image's patient, and how many patients there are; None: every image is one.

    Raises:
        XiqaError: Not one patient an image.
    """
    if patients is None:
        return np.arange(images), images
    if len(patients) != images:
        raise XiqaError(
            "patients do not fit the scores", expected=f"{images}, one an image", got=str(len(patients))
        )
    names, numbers = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    return numbers, len(names)


def _draws(patients: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """The patients of each resample: parts of ``(resamples, patients)``."""
    if patients < 1 or resamples < 1:
        raise XiqaError(
            "nothing to resample",
            expected="a patient and a resample at least",
            got=f"{patients} patients, {resamples} resamples",
        )
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        yield rng.integers(0, patients, (min(_CHUNK, resamples - start), patients))


def _times(drawn: NDArray[np.int64]) -> Floats:
    """How often each patient is drawn, ``(resamples, patients)``."""
    count, patients = drawn.shape
    places = drawn + patients * np.arange(count)[:, None]
    return np.bincount(places.ravel(), minlength=count * patients).reshape(count, patients).astype(float)


def bootstrap_means(
    table: Floats, patients: Sequence[str] | None = None, *, resamples: int = 10_000, seed: int = 0
) -> Floats:
    r"""Means of resampled data sets, patients drawn with replacement with all their images.

    .. math:: \bar s^{*} = \frac{\sum_g w_g \sum_{i \in g} s_i}{\sum_g w_g |g|}

    with the number of times :math:`w_g` that patient :math:`g` was drawn: two products of matrices for all
    resamples and columns together. Images of one patient are alike, so whole patients are drawn
    (``field2007bootstrapping``).

    Args:
        table: ``(images, columns)``; NaN is left out.
        patients: Patient of each image; None: every image is one.
        resamples: Number of resamples.
        seed: Seed of the draws. Equal seeds draw the same patients, whatever the columns.

    Returns:
        ``(resamples, columns)``; NaN where a resample holds no defined score.

    Raises:
        XiqaError: Not one patient an image, or no image or resample at all.
    """
    numbers, count = patient_numbers(patients, len(table))
    defined = np.isfinite(table)
    sums, sizes = (np.zeros((count, table.shape[1])) for _ in range(2))
    np.add.at(sums, numbers, np.where(defined, table, 0.0))
    np.add.at(sizes, numbers, defined)
    if defined.all():
        sizes = sizes[:, :1]  # the same for every column
    with np.errstate(invalid="ignore"):
        parts = [(w @ sums) / (w @ sizes) for w in map(_times, _draws(count, resamples, seed))]
    return np.concatenate(parts)


def bootstrap_values(
    statistic: Callable[[NDArray[np.intp]], float],
    patients: Sequence[str] | None,
    images: int,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Floats:
    """A value of whole data sets (AUC, FROC), resampled as by `bootstrap_means`.

    Args:
        statistic: The value on the images of these indices, which may repeat; NaN where it has none.
        patients: Patient of each image; None: every image is one.
        images: How many images there are.
        resamples: Number of resamples; each calls the statistic.
        seed: Seed of the draws; equal seeds draw the same patients.

    Returns:
        ``(resamples,)``.

    Raises:
        XiqaError: As `bootstrap_means`.
    """
    numbers, count = patient_numbers(patients, images)
    members = [np.flatnonzero(numbers == patient) for patient in range(count)]
    return np.asarray(
        [
            statistic(np.concatenate([members[patient] for patient in row]))
            for part in _draws(count, resamples, seed)
            for row in part
        ]
    )
