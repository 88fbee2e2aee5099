"""Weights of distances that find themselves: small while verdicts do not turn, larger when they do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from xiqa.training.generators.recipe import Aim

__all__ = ["Balance"]

MEMORY = 0.05  # of the running share: about the last twenty steps


class Balance(nn.Module):
    r"""The factor :math:`\lambda` on all that keeps generated images close, and the share that steers it.

    With the share :math:`f_k` of verdicts that turn in step :math:`k` and its running mean :math:`F_k`,

    .. math::
        F_k = F_{k-1} + 0.05\,(f_k - F_{k-1}), \qquad
        \log\lambda_k = \log\lambda_{k-1} + \eta \cdot
        \begin{cases} (F_k - a) / (1 - a) & F_k > a \\ (F_k - a) / a & \text{else} \end{cases}

    kept within the recipe's bounds: gradient ascent on the multiplier of the constraint "a share :math:`a`
    of the verdicts turns" (``platt1987constrained``), on the logarithm, and as fast up as down. Share and
    factor are buffers, so a checkpoint holds them.

    Args:
        aim: :math:`a`, :math:`\eta`, and where the factor starts and may go; None: it stays 1.
    """

    def __init__(self, aim: Aim | None) -> None:
        super().__init__()
        self.aim = aim
        self.register_buffer("share", torch.zeros((), dtype=torch.float64))
        start = math.log(aim.start) if aim else 0.0
        self.register_buffer("log_factor", torch.tensor(start, dtype=torch.float64))

    @property
    def factor(self) -> float:
        r""":math:`\lambda`."""
        return math.exp(float(cast("Tensor", self.log_factor)))

    def update(self, turned: Tensor) -> None:
        """Learn from the verdicts of one step, ``(N,)`` of True where one turned; none: nothing."""
        if self.aim is None or not len(turned):
            return
        share, log_factor = cast("Tensor", self.share), cast("Tensor", self.log_factor)
        share += MEMORY * (turned.double().mean() - share)
        beyond = float(share) - self.aim.share
        step = beyond / (1 - self.aim.share if beyond > 0 else self.aim.share)
        low, high = (math.log(bound) for bound in (self.aim.least, self.aim.most))
        log_factor.add_(self.aim.pace * step).clamp_(low, high)
