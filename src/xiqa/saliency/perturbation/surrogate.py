r"""LIME and KernelSHAP: a linear model of the score in which superpixels are shown or hidden.

Both fit :math:`g(z) = \phi_0 + \sum_s \phi_s z_s` to the scores :math:`f(h(z))` of copies in which region
:math:`s` is shown (:math:`z_s = 1`) or replaced (0), by weighted least squares; they differ in how :math:`z`
is drawn and weighted.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xiqa.saliency.perturbation.copies import baseline as hidden_image
from xiqa.saliency.perturbation.copies import generator as source
from xiqa.saliency.perturbation.copies import score_all, score_of
from xiqa.saliency.perturbation.superpixels import regions as regions_of
from xiqa.saliency.registry import probe_method

if TYPE_CHECKING:
    from xiqa.saliency.perturbation.copies import Score
    from xiqa.saliency.session import ProbeRecord

__all__ = [
    "coalitions",
    "kernelshap",
    "lime",
    "lime_weights",
    "region_scores",
    "ridge",
    "shapley_weights",
]


def region_scores(score: Score, image: Tensor, hidden: Tensor, labels: Tensor, shown: Tensor) -> Tensor:
    """Scores ``(M,)`` of copies of ``(C, H, W)`` whose regions are shown as ``(M, S)`` says (1: shown)."""
    masks = shown.to(image)
    return score_all(score, image, hidden, lambda part: masks[part][:, labels], len(shown))


def ridge(shown: Tensor, scores: Tensor, weights: Tensor, penalty: float) -> Tensor:
    r"""Weighted ridge regression with a free intercept.

    .. math:: \min_{\phi_0, \phi} \sum_i \pi_i (f_i - \phi_0 - \phi^T z_i)^2 + \alpha \lVert\phi\rVert_2^2

    Args:
        shown: ``(M, S)`` design, 0 or 1.
        scores: ``(M,)``.
        weights: ``(M,)``, not negative.
        penalty: :math:`\alpha`.

    Returns:
        ``(S,)`` float64 coefficients.

    >>> ridge(torch.tensor([[0.0], [1.0]]), torch.tensor([1.0, 3.0]), torch.ones(2), 0.0)
    tensor([2.], dtype=torch.float64)
    """
    design, target, weight = shown.double(), scores.double(), weights.double()
    weight = weight / weight.sum()
    design, target = design - weight @ design, target - weight @ target
    scaled = weight[:, None] * design
    # the weights sum to one here, so the penalty is shared between the samples
    gram = design.T @ scaled + penalty / len(design) * torch.eye(design.shape[1], dtype=torch.float64)
    coefficients: Tensor = torch.linalg.lstsq(gram, (scaled.T @ target)[:, None], driver="gelsd").solution
    return coefficients[:, 0]


def lime_weights(shown: Tensor, width: float) -> Tensor:
    r"""LIME's proximity of each sample to the whole image.

    .. math:: \pi(z) = \exp(-D(z)^2 / \sigma^2), \qquad D(z) = 1 - \sqrt{|z| / S}

    with :math:`D` the cosine distance between :math:`z` and the vector of ones. Source: ribeiro2016lime.

    >>> lime_weights(torch.tensor([[1.0, 1.0]]), 0.25)
    tensor([1.], dtype=torch.float64)
    """
    distance = 1 - shown.double().mean(dim=1).sqrt()
    return torch.exp(-(distance**2) / width**2)


def coalitions(players: int, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    r"""KernelSHAP's coalitions and their weights, without the empty and the full one.

    When all :math:`2^S - 2` coalitions fit into ``samples`` they are enumerated with Shapley's kernel

    .. math:: \pi(z) = \frac{S - 1}{\binom{S}{|z|}\,|z|\,(S - |z|)}

    and the fit is exact; else sizes are drawn in proportion to the kernel's mass, members uniformly, and
    each coalition enters with its complement, which takes out half of the variance; weights are then one.

    Args:
        players: Number of regions, :math:`S \ge 2`.
        samples: The most coalitions.
        generator: Where the random numbers come from.

    Returns:
        ``(M, S)`` coalitions and ``(M,)`` weights. Sources: lundberg2017shap; pairing: covert2021kernelshap.
    """
    if players < 20 and 2**players - 2 <= samples:
        shown = torch.tensor(list(product((0.0, 1.0), repeat=players)))[1:-1]
        sizes = shown.sum(dim=1).long().tolist()
        kernel = [(players - 1) / (math.comb(players, n) * n * (players - n)) for n in sizes]
        return shown, torch.tensor(kernel, dtype=torch.float64)
    numbers = torch.arange(1, players, dtype=torch.float64)
    drawn = (
        torch.multinomial(1 / (numbers * (players - numbers)), samples // 2, True, generator=generator) + 1
    )
    order = torch.rand(len(drawn), players, generator=generator).argsort(dim=1).argsort(dim=1)
    shown = (order < drawn[:, None]).float()
    return torch.stack([shown, 1 - shown], dim=1).flatten(0, 1), torch.ones(
        2 * len(drawn), dtype=torch.float64
    )


def shapley_weights(shown: Tensor, gains: Tensor, weights: Tensor, total: float) -> Tensor:
    r"""Least squares under the efficiency constraint :math:`\sum_s \phi_s = f(x) - f(b)`.

    The constraint is put in by eliminating the last region: :math:`\phi_S = \Delta - \sum_{s<S} \phi_s`.

    Args:
        shown: ``(M, S)`` coalitions.
        gains: ``(M,)`` scores minus the score of the image with everything hidden.
        weights: ``(M,)``.
        total: :math:`\Delta = f(x) - f(b)`.

    Returns:
        ``(S,)`` float64 Shapley values (estimates, or exact when all coalitions are there), S at least 2.
    """
    last = shown[:, -1:].double()
    design = shown[:, :-1].double() - last
    target = gains.double() - last[:, 0] * total
    root = weights.double().sqrt()
    solution = torch.linalg.lstsq(root[:, None] * design, (root * target)[:, None], driver="gelsd").solution[
        :, 0
    ]
    return torch.cat([solution, (total - solution.sum())[None]])


@probe_method("lime", cite="ribeiro2016lime")
def lime(
    sample: ProbeRecord,
    *,
    samples: int = 500,
    regions: str = "slic",
    count: int = 50,
    width: float = 0.25,
    penalty: float = 1.0,
    baseline: str | float = "mean",
    seed: int = 0,
) -> Tensor:
    r"""LIME: coefficients of a linear model of the score in superpixels shown or hidden, near the image.

    .. math:: \min_{\phi_0, \phi} \sum_i \pi(z_i)\,\big(p_c(h(z_i)) - \phi_0 - \phi^T z_i\big)^2
       + \alpha \lVert \phi \rVert_2^2

    The whole image is always among the samples; the others show each region with probability 1/2. All regions
    are kept (the source selects a few features first).

    Args:
        sample: The image and its scores.
        samples: How many altered copies.
        regions: ``slic`` superpixels or a ``grid``.
        count: About how many regions.
        width: :math:`\sigma` of the proximity kernel; see `lime_weights`.
        penalty: :math:`\alpha`.
        baseline: What shows in hidden regions; see `xiqa.saliency.perturbation.copies.baseline`.
        seed: The image's samples start here.

    Returns:
        ``(H, W)``, probability a region, constant on each. Source: ribeiro2016lime, eq. 1 and 2.
    """
    labels = regions_of(sample.image, regions, count)
    players = int(labels.max()) + 1
    shown = (torch.rand(samples, players, generator=source(seed)) < 0.5).float()
    shown[0] = 1
    hidden = hidden_image(sample.image, baseline)
    scores = region_scores(sample.score, sample.image, hidden, labels, shown).cpu()
    return ridge(shown, scores, lime_weights(shown, width), penalty)[labels].to(sample.image)


@probe_method("kernelshap", cite="lundberg2017shap")
def kernelshap(
    sample: ProbeRecord,
    *,
    samples: int = 500,
    regions: str = "slic",
    count: int = 50,
    baseline: str | float = "mean",
    output: str = "probability",
    seed: int = 0,
) -> Tensor:
    r"""KernelSHAP: Shapley values of superpixels, by weighted least squares under the efficiency constraint.

    .. math:: \min_\phi \sum_z \pi(z) \Big(f(h(z)) - f(b) - \sum_s \phi_s z_s\Big)^2,
       \qquad \sum_s \phi_s = f(x) - f(b)

    Args:
        sample: The image and its scores.
        samples: The most coalitions; where all fit, the values are exact.
        regions: ``slic`` superpixels or a ``grid``.
        count: About how many regions.
        baseline: What shows in hidden regions; see `xiqa.saliency.perturbation.copies.baseline`.
        output: ``probability`` or ``logit``.
        seed: The image's coalitions start here.

    Returns:
        ``(H, W)``, each region's value on all its pixels. Source: lundberg2017shap, theorem 2.
    """
    score = score_of(sample, output)
    labels = regions_of(sample.image, regions, count)
    players = int(labels.max()) + 1
    hidden = hidden_image(sample.image, baseline)
    ends = score(torch.stack([hidden, sample.image])).cpu().double()
    if players == 1:
        return (ends[1] - ends[0]).to(sample.image).expand(labels.shape).clone()
    shown, weights = coalitions(players, samples, source(seed))
    gains = region_scores(score, sample.image, hidden, labels, shown).cpu().double() - ends[0]
    return shapley_weights(shown, gains, weights, float(ends[1] - ends[0]))[labels].to(sample.image)
