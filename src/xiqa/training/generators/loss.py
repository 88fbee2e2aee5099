r"""Training of the generators behind ``twogenerator``: images that keep a verdict, and images that turn it.

The classifier is frozen. With its margin :math:`m(x)` (the log-odds of the explained class less those at the
verdict's threshold) and the verdict :math:`s = \mathrm{sign}\,m(x)` on a film, both generators minimise

.. math::
    L(x) = \underbrace{\log(1 + e^{-s\,m(g_s(x))})}_{\text{kept}} +
           \underbrace{\log(1 + e^{s\,m(g_a(x))})}_{\text{turned}} +
           \lambda_s\, d(x, g_s(x)) + \lambda_a\, d(x, g_a(x)) + \lambda_p\, d(g_s(x), g_a(x)) +
           \lambda_v\, \mathrm{TV}(g_s(x) - g_a(x))

with :math:`d` the mean absolute difference of the grey values. Source: ``charachon2020combining``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from xiqa.models.generators import Generated
    from xiqa.training.generators.recipe import GeneratorLoss

__all__ = ["generator_loss", "total_variation"]


def total_variation(images: Tensor) -> Tensor:
    r"""Mean absolute difference of neighbours, ``(N,)`` of ``(N, C, H, W)``.

    .. math:: \mathrm{TV}(d) = \frac{1}{CHW} \sum_u
       \big(\lvert d_{y+1,x} - d_{y,x}\rvert + \lvert d_{y,x+1} - d_{y,x}\rvert\big)

    >>> import torch
    >>> total_variation(torch.tensor([[[[0.0, 1.0]]]])).item()
    0.5
    """
    down = (images[..., 1:, :] - images[..., :-1, :]).abs().sum(dim=(1, 2, 3))
    right = (images[..., 1:] - images[..., :-1]).abs().sum(dim=(1, 2, 3))
    return (down + right) / images[0].numel()


def generator_loss(
    grey: Tensor,
    generated: Generated,
    margins: tuple[Tensor | None, Tensor],
    verdict: Tensor,
    weights: GeneratorLoss,
) -> dict[str, Tensor]:
    r"""The parts of the loss, each a mean over the batch, and their weighted sum ``loss``.

    Without a similar generator the film itself takes its image's place in the pair, and nothing is kept.

    Args:
        grey: The films :math:`x`, ``(N, 1, H, W)`` in [0, 1].
        generated: :math:`g_s(x)` and :math:`g_a(x)`.
        margins: :math:`m(g_s(x))` and :math:`m(g_a(x))`, ``(N,)``.
        verdict: :math:`s` on the films, ``(N,)`` of -1 and 1.
        weights: See `GeneratorLoss`.

    Returns:
        ``kept``, ``turned``, ``similar``, ``adversarial``, ``pair``, ``variation`` and ``loss``.
    """
    similar, adversarial = generated
    parts = {
        "turned": F.softplus(verdict * margins[1]).mean(),
        "adversarial": (grey - adversarial).abs().mean(),
    }
    total = parts["turned"] + weights.adversarial * parts["adversarial"]
    start = grey if similar is None else similar
    parts["variation"] = total_variation(start - adversarial).mean()
    total = total + weights.variation * parts["variation"]
    if similar is not None and margins[0] is not None:
        parts["kept"] = F.softplus(-verdict * margins[0]).mean()
        parts["similar"] = (grey - similar).abs().mean()
        parts["pair"] = (similar - adversarial).abs().mean()
        total = total + parts["kept"] + weights.similar * parts["similar"] + weights.pair * parts["pair"]
    return {**parts, "loss": total}
