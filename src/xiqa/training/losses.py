"""The loss: the image's class, and where the evidence for it must and must not lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from xiqa.training.processes import alone

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from xiqa.models.outputs import Task

    Mean = Callable[..., Tensor]

__all__ = ["dense_loss", "image_loss", "region_loss"]


def image_loss(
    task: Task,
    logits: Tensor,
    labels: Tensor,
    goals: Tensor,
    class_weights: Tensor | None = None,
    mean: Mean = alone,
) -> Tensor:
    r"""What an image's outputs are learned by.

    - *classes*: cross-entropy, of each image weighed by its class where ``class_weights`` are given:
      :math:`\sum_n w_{y_n} (-\log p_{n, y_n}) / \sum_n w_{y_n}`.
    - *labels*: binary cross-entropy, the mean over labels.
    - *ordered*: binary cross-entropy of every threshold's question, is the grade :math:`k` or more, the mean
      over thresholds; by the ordered thresholds this is the likelihood of ``mccullagh1980regression`` told
      question by question.
    - *degree*: squared error, the mean over problems.

    Args:
        task: Of the head; see `xiqa.models.outputs`.
        logits: ``(N, K)``.
        labels: ``(N,)`` class indices.
        goals: ``(N, P)``; see `xiqa.training.goals.goal_of`.
        class_weights: ``(K,)``, for *classes*.
        mean: Divides a sum by what it sums over; `xiqa.training.processes.share` where several processes
            hold the batch.

    Returns:
        The loss.

    >>> values = torch.tensor([[0.2, 0.9]])
    >>> round(float(image_loss("degree", values, torch.zeros(1), torch.tensor([[0.0, 1.0]]))), 3)
    0.025
    """
    if task == "classes":
        weights = torch.ones_like(logits[0]) if class_weights is None else class_weights
        summed = F.cross_entropy(logits, labels, weight=class_weights, reduction="sum")
        return mean(summed, weights[labels].sum())
    count = logits.new_tensor(logits.numel())
    if task == "degree":
        return mean(F.mse_loss(logits, goals, reduction="sum"), count)
    if task == "labels":
        return mean(F.binary_cross_entropy_with_logits(logits, goals, reduction="sum"), count)
    cumulative = logits.unflatten(1, (goals.shape[1], -1))
    grades = torch.arange(1, cumulative.shape[2] + 1, device=goals.device)
    reached = (goals[..., None] >= grades).to(logits.dtype)
    return mean(F.binary_cross_entropy_with_logits(cumulative, reached, reduction="sum"), count)


def dense_loss(
    evidence: Tensor, target: Tensor, weight: Tensor, focus: float = 2.0, mean: Mean = alone
) -> Tensor:
    r"""Focal cross-entropy of the evidence at every place that is known.

    .. math:: L = \frac{1}{\max(1, n_+)} \sum_u w_u (1 - p_u)^\gamma \, (-\log p_u)

    with :math:`p_u = \sigma(E_u)` where the target is 1 and :math:`1 - \sigma(E_u)` where it is 0, and
    :math:`n_+` the places in the batch whose target is 1. Source: ``lin2017focal``, without the class weight.

    Args:
        evidence: ``(N, h, w)`` logits.
        target: ``(N, h, w)`` of 0 and 1.
        weight: ``(N, h, w)``, 0 where nothing is known.
        focus: :math:`\gamma \ge 0`.
        mean: As of `image_loss`.

    Returns:
        The loss, at least 0.

    >>> dense_loss(torch.zeros(1, 1, 1), torch.ones(1, 1, 1), torch.ones(1, 1, 1), focus=0.0)
    tensor(0.6931)
    """
    cross_entropy = F.binary_cross_entropy_with_logits(evidence, target, reduction="none")
    focal = (1 - torch.exp(-cross_entropy)) ** focus
    return mean((weight * focal * cross_entropy).sum(), (target * weight).sum(), least=1.0)


def region_loss(evidence: Tensor, regions: Tensor, mean: Mean = alone) -> Tensor:
    r"""Cross-entropy of the strongest evidence in each box: some of it must lie inside, it need not fill it.

    .. math:: L = \frac{1}{|R|} \sum_{R} -\log \sigma\Big(\max_{u \in R} E_u\Big)

    Args:
        evidence: ``(N, h, w)`` logits.
        regions: ``(N, R, 4)`` cells (x0, y0, x1, y1), last excluded; empty boxes do not count.
        mean: As of `image_loss`.

    Returns:
        The mean over boxes; 0 when there is none.
    """
    rows = torch.arange(evidence.shape[1], device=evidence.device)
    columns = torch.arange(evidence.shape[2], device=evidence.device)
    x0, y0, x1, y1 = regions.unbind(-1)
    in_rows = (rows >= y0[..., None]) & (rows < y1[..., None])
    in_columns = (columns >= x0[..., None]) & (columns < x1[..., None])
    inside = in_rows[..., :, None] & in_columns[..., None, :]
    counts = inside.flatten(2).any(-1)
    strongest = evidence[:, None].masked_fill(~inside, -torch.inf).flatten(2).amax(-1)
    return mean(F.softplus(-strongest[counts]).sum(), counts.sum().to(evidence.dtype), least=1.0)
