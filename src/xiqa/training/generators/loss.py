r"""The loss of the two generators.

The classifier is frozen. With its margin :math:`m(x)` (the log-odds of the explained class less those at the
verdict's threshold), the verdict :math:`s = \mathrm{sign}\,m(x)` on an image, and :math:`t = 1` where the
adversarial image shall turn it, 0 where it shall only stay close, both generators minimise

.. math::
    L(x) &= \underbrace{\log(1 + e^{-s\,m(g_s(x))})}_{\text{kept}} +
            \underbrace{t \log(1 + e^{b + s\,m(g_a(x))})}_{\text{turned}} \\
         &+ \lambda\,u^{1-t}\,\big(\lambda_s\, d(x, g_s(x)) + \lambda_a\, d(x, g_a(x)) +
            \lambda_p\, d(g_s(x), g_a(x)) \\
         &+ \lambda_v\, \mathrm{TV}(g_s(x) - g_a(x)) + \lambda_m \overline{M} + \lambda_e E(M, g_a(x))\big)

with :math:`d` the mean absolute difference of the grey values, :math:`M` the adversarial image's gate and
:math:`E` the edges within it. The factor :math:`\lambda` is that of `Balance`; images whose verdict need not
turn teach what is to be left as it is, and have :math:`u` times the weight in that. Source:
``charachon2020combining``; its adversarial image turns every verdict, and its weights are fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from xiqa.models.explainers.generators import Generated
    from xiqa.training.generators.recipe import GeneratorLoss

__all__ = ["edges_within", "generator_loss", "total_variation"]


def total_variation(images: Tensor) -> Tensor:
    r"""Mean absolute difference of neighbours, ``(N,)`` of ``(N, C, H, W)``.

    .. math:: \mathrm{TV}(d) = \frac{1}{CHW} \sum_u
       \big(\lvert d_{y+1,x} - d_{y,x}\rvert + \lvert d_{y,x+1} - d_{y,x}\rvert\big)

    >>> total_variation(torch.tensor([[[[0.0, 1.0]]]])).item()
    0.5
    """
    down = (images[..., 1:, :] - images[..., :-1, :]).abs().sum(dim=(1, 2, 3))
    right = (images[..., 1:] - images[..., :-1]).abs().sum(dim=(1, 2, 3))
    return (down + right) / images[0].numel()


def edges_within(images: Tensor, gate: Tensor) -> Tensor:
    r"""Mean absolute difference of neighbours, as far as a gate is open there, ``(N,)`` of ``(N, 1, H, W)``.

    .. math:: E(M, g) = \frac{1}{HW} \sum_u \Big(
       \tfrac{M_{y+1,x} + M_{y,x}}{2} \lvert g_{y+1,x} - g_{y,x}\rvert
       + \tfrac{M_{y,x+1} + M_{y,x}}{2} \lvert g_{y,x+1} - g_{y,x}\rvert\Big)

    With the gate open everywhere it is the total variation.
    """
    down = (images[..., 1:, :] - images[..., :-1, :]).abs() * (gate[..., 1:, :] + gate[..., :-1, :]) / 2
    right = (images[..., 1:] - images[..., :-1]).abs() * (gate[..., 1:] + gate[..., :-1]) / 2
    return (down.sum(dim=(1, 2, 3)) + right.sum(dim=(1, 2, 3))) / images[0].numel()


def generator_loss(
    grey: Tensor,
    generated: Generated,
    margins: tuple[Tensor | None, Tensor],
    verdict: Tensor,
    weights: GeneratorLoss,
    *,
    turns: Tensor | None = None,
    gate: Tensor | None = None,
    factor: float = 1.0,
) -> dict[str, Tensor]:
    r"""The parts of the loss, each a mean over the batch, and their weighted sum ``loss``.

    Without a similar generator the image itself takes its image's place in the pair, and nothing is kept.

    Args:
        grey: The images :math:`x`, ``(N, 1, H, W)`` in [0, 1].
        generated: :math:`g_s(x)` and :math:`g_a(x)`.
        margins: :math:`m(g_s(x))` and :math:`m(g_a(x))`, ``(N,)``.
        verdict: :math:`s` on the images, ``(N,)`` of -1 and 1.
        weights: See `GeneratorLoss`.
        turns: ``(N,)``, whether the adversarial image shall turn the verdict; None: all.
        gate: :math:`M`, ``(N, 1, H, W)``, where the adversarial image is painted.
        factor: :math:`\lambda`.

    Returns:
        ``kept``, ``turned``, ``similar``, ``adversarial``, ``pair``, ``variation``, ``area``, ``edges`` (each
        where there is one) and ``loss``.
    """
    similar, adversarial = generated
    start = grey if similar is None else similar
    turns = torch.ones_like(verdict, dtype=torch.bool) if turns is None else turns
    verdicts = {"turned": turns * F.softplus(weights.beyond + verdict * margins[1])}
    distances = {
        "adversarial": _distance(grey, adversarial),
        "variation": total_variation(start - adversarial),
    }
    if similar is not None and margins[0] is not None:
        verdicts["kept"] = F.softplus(-verdict * margins[0])
        distances["similar"] = _distance(grey, similar)
        distances["pair"] = _distance(similar, adversarial)
    if gate is not None:
        distances["area"] = gate.mean(dim=(1, 2, 3))
        distances["edges"] = edges_within(adversarial, gate)
    close = torch.stack([getattr(weights, name) * part for name, part in distances.items()]).sum(dim=0)
    radiographs = (
        torch.stack(list(verdicts.values())).sum(dim=0)
        + factor * torch.where(turns, 1.0, weights.untouched).to(grey) * close
    )
    return {name: part.mean() for name, part in ({"loss": radiographs} | verdicts | distances).items()}


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the grey values, ``(N,)``."""
    return (a - b).abs().mean(dim=(1, 2, 3))
