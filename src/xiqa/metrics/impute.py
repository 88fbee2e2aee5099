"""Noisy linear imputation: removed pixels become smooth fill that shows little of what was removed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from xiqa.errors import MetricError
from xiqa.types import MaskArray

__all__ = ["impute"]

#: Weight of each neighbour: 1/6 beside, 1/12 across.
_NEIGHBOURS = {
    (dy, dx): 1 / 6 if 0 in (dy, dx) else 1 / 12
    for dy in (-1, 0, 1)
    for dx in (-1, 0, 1)
    if (dy, dx) != (0, 0)
}


def impute(
    image: NDArray[Any], removed: MaskArray, noise: float = 0.01, rng: np.random.Generator | None = None
) -> NDArray[Any]:
    r"""Give each removed pixel the weighted mean of its neighbours, and noise.

    .. math:: x_i = \frac{\sum_{j \in N(i)} w_{ij} x_j}{\sum_{j \in N(i)} w_{ij}} \quad \text{for removed } i

    One sparse linear system for all removed pixels; its matrix is symmetric, and the channels share it. The
    source is rong2022road.

    Args:
        image: ``(C, H, W)``.
        removed: ``(H, W)``, true where a pixel is to be replaced.
        noise: Standard deviation of the noise :math:`N(0, s)` on replaced pixels.
        rng: Source of the noise; a fixed one by default.

    Returns:
        The filled image, like ``image``.

    Raises:
        MetricError: Nothing is left to fill from.

    >>> impute(np.array([[[0.0, 9.0, 3.0]]]), np.array([[False, True, False]]), noise=0.0).round(6).tolist()
    [[[0.0, 1.5, 3.0]]]
    """
    if not removed.any():
        return image
    if removed.all():
        raise MetricError("no pixel is left to fill the image from", todo="remove less than all of it")
    rows, columns = np.nonzero(removed)
    count = len(rows)
    number = np.zeros(removed.shape, int)
    number[removed] = np.arange(count)
    weights, known = np.zeros(count), np.zeros((count, len(image)))
    entries: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
    for (dy, dx), weight in _NEIGHBOURS.items():
        y, x = rows + dy, columns + dx
        inside = np.nonzero((y >= 0) & (y < removed.shape[0]) & (x >= 0) & (x < removed.shape[1]))[0]
        weights[inside] += weight
        unknown = removed[y[inside], x[inside]]
        given, open_ = inside[~unknown], inside[unknown]
        known[given] += weight * image[:, y[given], x[given]].T
        entries.append((open_, number[y[open_], x[open_]], np.full(len(open_), -weight)))
    entries.append((np.arange(count), np.arange(count), weights))
    row, column, value = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    system = coo_array((value, (row, column)), shape=(count, count)).tocsc()
    solver = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    filled = image.copy()
    solution = solver.solve(known).T
    if noise:
        solution = solution + noise * (rng or np.random.default_rng(0)).standard_normal(solution.shape)
    filled[:, rows, columns] = solution
    return filled
