"""Resampling by patient: whole patients are drawn with replacement, with all their images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import XiqaError

__all__ = ["bootstrap_means", "patient_numbers"]

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


def _draws(patients: int, resamples: int, seed: int) -> list[Floats]:
    """How often each patient is drawn: parts of ``(resamples, patients)``."""
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, resamples, _CHUNK):
        count = min(_CHUNK, resamples - start)
        drawn = rng.integers(0, patients, (count, patients)) + patients * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * patients)
        parts.append(times.reshape(count, patients).astype(float))
    return parts


def bootstrap_means(
    table: Floats, patients: Sequence[str] | None = None, *, resamples: int = 10_000, seed: int = 0
) -> Floats:
    r"""Means of resampled data sets, patients drawn with replacement with all their images.

    .. math:: \bar s^{*} = \frac{\sum_g w_g \sum_{i \in g} s_i}{\sum_g w_g |g|}

    with the number of times :math:`w_g` that patient :math:`g` was drawn: two products of matrices for all
    resamples and columns together.

    Args:
        table: ``(images, columns)``; NaN is left out.
        patients: Patient of each image; None: every image is one.
        resamples: Number of resamples.
        seed: Seed of the draws. Equal seeds draw the same patients, whatever the columns.

    Returns:
        ``(resamples, columns)``; NaN where a resample holds no defined score.
    """
    numbers, count = patient_numbers(patients, len(table))
    defined = np.isfinite(table)
    sums, sizes = (np.zeros((count, table.shape[1])) for _ in range(2))
    np.add.at(sums, numbers, np.where(defined, table, 0.0))
    np.add.at(sizes, numbers, defined)
    if defined.all():
        sizes = sizes[:, :1]  # the same for every column
    with np.errstate(invalid="ignore"):
        return np.concatenate([(w @ sums) / (w @ sizes) for w in _draws(count, resamples, seed)])
