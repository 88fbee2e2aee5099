"""The guard: how far an image lies from what the network was made for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from xiqa.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Guard", "fit_guard", "folds_of", "out_of_fold_distances", "pooled"]


def folds_of(groups: Sequence[str], folds: int = 5) -> NDArray[np.int64]:
    """The part ``(N,)`` that each image lies in, all of a patient in one.

    >>> folds_of(["a", "b", "a", "c"], folds=2).tolist()
    [0, 1, 0, 0]
    """
    order = {group: index % folds for index, group in enumerate(dict.fromkeys(groups))}
    return np.array([order[group] for group in groups], dtype=np.int64)


def pooled(grid: Tensor) -> Tensor:
    """Mean and standard deviation of every channel over the grid: ``(N, C, h, w)`` to ``(N, 2 C)``."""
    deviation, mean = torch.std_mean(grid.float(), dim=(-2, -1), correction=0)
    return torch.cat((mean, deviation), dim=1)


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    r"""A Gaussian around each source of training images, all of one shape: a few axes and an even rest.

    With features :math:`f` standardised around a source's centre :math:`c`, axes :math:`U` with variances
    :math:`\lambda_k` and the rest's mean variance :math:`\sigma^2`, the squared distance is

    .. math:: d^2 = \min_c \sum_k \frac{(u_k^\top f_c)^2}{\lambda_k} +
       \frac{\|f_c - U U^\top f_c\|^2}{\sigma^2},

    the Mahalanobis distance to the nearest centre (``lee2018simple``, with sources for their classes) under
    probabilistic principal components (``tipping1999ppca``).

    Attributes:
        layers: Modules whose pooled outputs are the features.
        centre: ``(S, F)`` mean of each source.
        spread: ``(F,)`` standard deviation within the sources.
        axes: ``(K, F)`` principal axes, of unit length.
        variances: ``(K,)`` along them.
        rest: Variance along every other direction.
        threshold: Distance from which an image is not what the network was made for.
    """

    layers: tuple[str, ...]
    centre: Tensor
    spread: Tensor
    axes: Tensor
    variances: Tensor
    rest: float
    threshold: float

    def distances(self, features: Tensor) -> Tensor:
        """Distances ``(N,)`` of features ``(N, F)``; infinite where a feature is not finite."""
        standard = (features.to(self.centre)[:, None] - self.centre) / self.spread
        along = standard @ self.axes.T
        beside = (standard.square().sum(-1) - along.square().sum(-1)).clamp_min(0)
        squared = (along.square() / self.variances).sum(-1) + beside / self.rest
        return squared.sqrt().nan_to_num(torch.inf, posinf=torch.inf).amin(1)

    def join(self, features: Mapping[str, Tensor]) -> Tensor:
        """The features ``(N, F)`` that `distances` takes, of the `pooled` outputs of each layer."""
        return torch.cat([features[name] for name in self.layers], dim=1)

    def with_source(self, features: Tensor) -> Guard:
        """The guard with the centre of one more source's features ``(N, F)``; axes and limit stay."""
        centre = features.double().mean(0, keepdim=True).to(self.centre)
        return replace(self, centre=torch.cat((self.centre, centre)))

    def to_tensors(self) -> dict[str, Tensor]:
        """The guard's numbers as named tensors; the layers' names are kept elsewhere."""
        scalars = torch.tensor([self.rest, self.threshold])
        return {
            "centre": self.centre,
            "spread": self.spread,
            "axes": self.axes,
            "variances": self.variances,
            "scalars": scalars,
        }

    @classmethod
    def from_tensors(cls, layers: Sequence[str], tensors: Mapping[str, Tensor]) -> Guard:
        """The guard that `to_tensors` wrote.

        Raises:
            ModelError: A tensor is missing.
        """
        names = {"centre", "spread", "axes", "variances", "scalars"}
        if set(tensors) != names:
            raise ModelError("the guard is incomplete", expected=", ".join(sorted(names)))
        numbers = {name: tensors[name].float() for name in names}
        rest, threshold = numbers.pop("scalars").tolist()
        return cls(tuple(layers), **numbers, rest=rest, threshold=threshold)


def fit_guard(
    features: Tensor,
    layers: Sequence[str],
    threshold: float,
    *,
    sources: Sequence[str] | None = None,
    axes: int = 48,
) -> Guard:
    """Fit a guard to training images' features.

    Args:
        features: ``(N, F)`` of the images that the network was made for.
        layers: Where they come from.
        threshold: Distance from which an image is caught.
        sources: ``(N,)`` where each image comes from; None: all from one.
        axes: How many principal axes to keep; fewer where there are fewer images.

    Returns:
        The guard.

    Raises:
        ModelError: Fewer than three images.
    """
    if len(features) < 3:
        raise ModelError("cannot fit a guard", expected="three images or more", got=str(len(features)))
    features = features.double()
    names = list(dict.fromkeys(sources)) if sources else [""]
    source = torch.tensor([names.index(name) for name in sources] if sources else [0] * len(features))
    centre = torch.stack([features[source == number].mean(0) for number in range(len(names))])
    within = features - centre[source]
    spread = within.std(0).clamp_min(1e-4 * features.std().clamp_min(1e-8))
    standard = within / spread
    _, singular, directions = torch.linalg.svd(standard, full_matrices=False)
    variances = singular.square() / (len(features) - 1)
    kept = min(axes, len(variances) - 2)
    # the sample's small variances are too small: spread what is left evenly over all other directions
    rest = variances[kept:].sum() / (features.shape[1] - kept)
    return Guard(
        tuple(layers),
        centre.float(),
        spread.float(),
        directions[:kept].float(),
        variances[:kept].clamp_min(rest).float(),
        float(rest.clamp_min(1e-8)),
        threshold,
    )


def out_of_fold_distances(
    features: Tensor,
    groups: Sequence[str],
    *,
    sources: Sequence[str] | None = None,
    folds: int = 5,
    axes: int = 48,
) -> Tensor:
    """Each image's distance to a guard fitted without its patient: honest numbers for a threshold.

    Args:
        features: ``(N, F)``.
        groups: ``(N,)`` patients.
        sources: See `fit_guard`; a source must have several patients.
        folds: How many parts.
        axes: See `fit_guard`.

    Returns:
        ``(N,)`` distances.
    """
    fold = torch.from_numpy(folds_of(groups, folds))
    distances = torch.empty(len(features))
    for part in range(folds):
        held = fold == part
        if held.any():
            rest = (
                [name for name, out in zip(sources, held.tolist(), strict=True) if not out]
                if sources
                else None
            )
            guard = fit_guard(features[~held], (), torch.inf, sources=rest, axes=axes)
            distances[held] = guard.distances(features[held])
    return distances
