r"""What a soft decision tree that stands for a classifier minimises.

The tree learns the classifier's own calibrated probabilities T(x), not the labels:

.. math::
    L = \sum_\ell P^\ell(x)\, \Big(-\sum_k T_k(x) \log Q^\ell_k\Big)
        - \lambda \sum_i 2^{-d_i}\, \tfrac12 \big(\log \alpha_i + \log(1 - \alpha_i)\big), \qquad
    \alpha_i = \frac{\sum_x P^i(x)\, p_i(x)}{\sum_x P^i(x)}

The second part keeps every node :math:`i` of level :math:`d_i` sending images both ways; deeper nodes see
fewer images, so their share :math:`\alpha_i` is averaged over twice as many batches a level. Source:
``frosst2017distilling``, eq. 3 to 5. Deviation: as printed there, the first part is the logarithm of a
negative sum; here it is the mean cross-entropy of the leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.models.explainers.softtree import Turns

__all__ = ["Shares", "tree_loss", "turn_penalty"]


def tree_loss(turns: Turns, log_distributions: Tensor, targets: Tensor) -> Tensor:
    r"""The leaves' cross-entropies, each as probable as it is reached, :math:`\sum_\ell P^\ell H(T, Q^\ell)`.

    Args:
        turns: Of N inputs.
        log_distributions: ``(L, K)``.
        targets: ``(N, K)``.

    Returns:
        ``(N,)``.
    """
    return (turns.leaves * -(targets @ log_distributions.T)).sum(dim=1)


def turn_penalty(shares: Tensor, levels: Tensor) -> Tensor:
    r"""The price of nodes that send all images one way.

    .. math:: C = -\sum_i 2^{-d_i}\, \tfrac12 \big(\log \alpha_i + \log(1 - \alpha_i)\big)

    Args:
        shares: ``(I,)``, the share of its images that each node sends right.
        levels: ``(I,)``, 0 for the root.
    """
    safe = shares.clamp(1e-6, 1 - 1e-6)
    return -(0.5**levels * 0.5 * (safe.log() + (1 - safe).log())).sum()


class Shares:
    r"""Running shares :math:`\alpha_i`: at level d the mean over about :math:`2^d` batches.

    Args:
        levels: ``(I,)``.
        sums: ``(2, I)`` of an earlier run, to go on from.
    """

    def __init__(self, levels: Tensor, sums: Tensor | None = None) -> None:
        self.keep = 1 - 0.5**levels
        self.sums = torch.zeros(2, len(levels)) if sums is None else sums

    def __call__(self, turns: Turns) -> Tensor:
        """The shares ``(I,)`` after a batch; the gradient goes to this batch alone."""
        now = torch.stack([(turns.reached * turns.right).sum(dim=0), turns.reached.sum(dim=0)])
        sums = self.keep * self.sums + (1 - self.keep) * now
        self.sums = sums.detach()
        return sums[0] / sums[1].clamp_min(1e-12)
