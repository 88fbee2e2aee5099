r"""Integrated gradients and SmoothGrad: the gradient at the image, averaged over copies of it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xiqa.saliency.capture import ForwardPass
from xiqa.saliency.gradients.gradient import over_channels
from xiqa.saliency.gradients.paths import noisy_copies, path_nodes, straight_path
from xiqa.saliency.perturbation.copies import baseline as hidden_image
from xiqa.saliency.probe import class_score
from xiqa.saliency.registry import Needs, image_method

if TYPE_CHECKING:
    from xiqa.saliency.capture import ImageRecord

__all__ = ["completeness_gap", "gradient_at", "integrated", "integratedgradients", "smoothgrad"]


def gradient_at(image: ImageRecord, copies: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient ``(N, C, H, W)`` and logits ``(N, K)`` at altered copies of a record's images."""
    context = image.pass_
    passed = ForwardPass(context.network, copies, image_grad=True, rule=context.rule)
    record = passed.backward(context.target, rule=context.rule, image_grad=True)[1]
    assert record is not None
    return record.grad, passed.logits


def integrated(image: ImageRecord, hidden: Tensor, *, steps: int, rule: str) -> Tensor:
    r"""Integrated gradients of each channel, ``(N, C, H, W)``.

    .. math:: (x - b) \int_0^1 \nabla z_c\big(b + \alpha (x - b)\big)\, d\alpha
    """
    nodes, weights = path_nodes(steps, rule)
    total = torch.zeros_like(image.images)
    for weight, copies in zip(weights, straight_path(image.images, hidden, nodes), strict=True):
        total += weight * gradient_at(image, copies)[0]
    return (image.images - hidden) * total


def completeness_gap(image: ImageRecord, hidden: Tensor, attribution: Tensor) -> Tensor:
    r"""How far an attribution is from explaining the whole difference to the baseline.

    .. math:: \frac{\big|\sum_u S(u) - (z_c(x) - z_c(b))\big|}{|z_c(x) - z_c(b)|}

    Args:
        image: The images.
        hidden: The baseline :math:`b`, ``(N, C, H, W)``.
        attribution: ``(N, ...)`` signed values.

    Returns:
        ``(N,)``; 0 where the attribution is complete. Source: sundararajan2017axiomatic, proposition 1.
    """
    context = image.pass_
    ends = ForwardPass(context.network, hidden, grad=False, rule=context.rule).logits
    change = class_score(context.logits, context.target, output="logit") - class_score(
        ends, context.target, output="logit"
    )
    gap = (attribution.flatten(1).sum(dim=1) - change).abs()
    return gap / change.abs().clamp_min(torch.finfo(change.dtype).tiny)


@image_method(
    "integratedgradients", cite="sundararajan2017axiomatic", needs=Needs.INPUT | Needs.NETWORK, dims=(2, 3)
)
def integratedgradients(
    image: ImageRecord,
    *,
    steps: int = 32,
    path: str = "gausslegendre",
    baseline: str | float = 0.0,
    norm: str = "signed",
    tolerance: float = 0.05,
) -> Tensor:
    r"""Integrated gradients: the gradient along the straight way from a baseline to the image.

    .. math:: S(u) = \sum_k (x_k(u) - b_k(u)) \int_0^1
       \frac{\partial z_c}{\partial x_k(u)}\big(b + \alpha (x - b)\big)\, d\alpha

    The values sum to :math:`z_c(x) - z_c(b)` up to the error of the integration, which is zero for linear
    networks, tiny for smooth ones and falls with the steps for ReLU networks. A warning tells it where it is
    above the tolerance; `completeness_gap` measures it.

    Args:
        image: The images, ``(N, C, H, W)``.
        steps: Gradients along the path.
        path: Rule of the integration: ``gausslegendre``, ``midpoint``, ``trapezoid`` or ``right`` (the
            source's).
        baseline: Where the path begins; see `xiqa.saliency.perturbation.copies.baseline`.
        norm: How channels become one value; ``signed`` keeps the sum.
        tolerance: Relative gap of completeness above which a warning is given.

    Returns:
        ``(N, H, W)``, logits. Source: sundararajan2017axiomatic, eq. 1 and 3.
    """
    hidden = hidden_image(image.images, baseline, dims=image.images.dim() - 2)
    values = integrated(image, hidden, steps=steps, rule=path)
    gap = float(completeness_gap(image, hidden, values).max())
    if gap > tolerance:
        warnings.warn(
            f"integrated gradients miss completeness by {gap:.1%} with {steps} steps: take more", stacklevel=2
        )
    return over_channels(values, norm)


@image_method("smoothgrad", cite="smilkov2017smoothgrad", needs=Needs.INPUT | Needs.NETWORK, dims=(2, 3))
def smoothgrad(
    image: ImageRecord,
    *,
    samples: int = 25,
    spread: float = 0.15,
    norm: str = "max",
    squared: bool = False,
    seed: int = 0,
) -> Tensor:
    r"""SmoothGrad: the mean gradient over noisy copies of the image.

    .. math:: S = \Big\| \frac{1}{n} \sum_{i=1}^n \nabla z_c(x + \varepsilon_i) \Big\|,
       \qquad \varepsilon_i \sim N(0, \sigma^2)

    Args:
        image: The images, ``(N, C, H, W)``.
        samples: Noisy copies, :math:`n`.
        spread: :math:`\sigma` as a fraction of each image's range (the source: 0.1 to 0.2).
        norm: How channels become one value, after the mean.
        squared: Average the squared gradients instead (SmoothGrad-Squared, hooker2019benchmark).
        seed: Each image's noise starts here.

    Returns:
        ``(N, H, W)``, logits a unit of input (squared: its square). Source: smilkov2017smoothgrad, section 3.
    """
    total = torch.zeros_like(image.images)
    for copies in noisy_copies(image.images, spread, samples, seed):
        grad = gradient_at(image, copies)[0]
        total += grad.square() if squared else grad
    return over_channels(total / samples, norm)
