"""Small changes of an image that change the network's mind: FGSM, PGD and DeepFool.

The network is left as it was: gradients go to the image alone.
"""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn import functional

from xiqa.saliency.adversarial.flips import class_margins, deepfool_flip
from xiqa.saliency.state import evaluating
from xiqa.saliency.targets import predicted

__all__ = ["deepfool", "fgsm", "pgd"]


def _two_sided(logits: Tensor) -> Tensor:
    """Logits of at least two classes: one logit stands against 0."""
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits


def _ready(stack: ExitStack, network: nn.Module, image: Tensor) -> Tensor:
    """Evaluation mode and gradients for as long as the stack lives; the image as a graph can take it."""
    stack.enter_context(evaluating(network))
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    return image.clone() if image.is_inference() else image.detach()


def _loss_gradient(network: nn.Module, image: Tensor, target: int) -> Tensor:
    """Gradient of the cross-entropy of the target at the image ``(C, H, W)``."""
    leaf = image.detach().requires_grad_()
    logits = _two_sided(network(leaf[None]))
    loss = functional.cross_entropy(logits, torch.tensor([target], device=logits.device))
    return torch.autograd.grad(loss, leaf)[0]


def fgsm(network: nn.Module, image: Tensor, target: int, *, epsilon: float = 0.01) -> Tensor:
    r"""One step of the gradient's sign away from a class.

    .. math:: x' = x + \epsilon \operatorname{sign} \nabla_x L(f(x), c)

    with the cross-entropy :math:`L`; goodfellow2015explaining.

    Args:
        network: Maps images ``(N, C, H, W)`` to logits ``(N, K)``.
        image: ``(C, H, W)`` as the network takes it.
        target: The class to leave.
        epsilon: Largest change of a pixel, in units of the network's input.

    Returns:
        The changed image, like ``image``.
    """
    with ExitStack() as stack:
        start = _ready(stack, network, image)
        return start + epsilon * _loss_gradient(network, start, target).sign()


def pgd(
    network: nn.Module,
    image: Tensor,
    target: int,
    *,
    epsilon: float = 0.01,
    step: float | None = None,
    steps: int = 10,
    seed: int | None = 0,
) -> Tensor:
    r"""Steps of the gradient's sign, each put back into the box around the image.

    .. math:: x_{t+1} = \Pi_{\lVert x' - x \rVert_\infty \le \epsilon}
       \bigl(x_t + \alpha \operatorname{sign} \nabla_x L(f(x_t), c)\bigr)

    The source is madry2018towards.

    Args:
        network: Maps images ``(N, C, H, W)`` to logits ``(N, K)``.
        image: ``(C, H, W)`` as the network takes it.
        target: The class to leave.
        epsilon: Largest change of a pixel, in units of the network's input.
        step: :math:`\alpha`; None: a quarter of ``epsilon``.
        steps: Number of steps.
        seed: Seed of the random start in the box; None: start at the image.

    Returns:
        The changed image, like ``image``.
    """
    with ExitStack() as stack:
        start = _ready(stack, network, image)
        now = start
        if seed is not None:
            noise = torch.Generator(image.device).manual_seed(seed)
            draw = torch.rand(image.shape, generator=noise, device=image.device, dtype=image.dtype)
            now = start + epsilon * (2 * draw - 1)
        for _ in range(steps):
            ahead = (
                now + (epsilon / 4 if step is None else step) * _loss_gradient(network, now, target).sign()
            )
            now = torch.clamp(ahead, start - epsilon, start + epsilon)
        return now.detach()


def deepfool(
    network: nn.Module, image: Tensor, *, overshoot: float = 0.02, steps: int = 50, classes: int = 10
) -> Tensor:
    r"""The nearest image of another class, by steps to the nearest linearised border.

    .. math:: r = \frac{|f_k - f_c|}{\lVert w_k \rVert_2^2} w_k, \qquad w_k = \nabla f_k - \nabla f_c,\
       k = \arg\min_j \frac{|f_j - f_c|}{\lVert w_j \rVert_2}

    repeated until the class changes; the sum of the steps, and a little more, is added. The source is
    moosavi2016deepfool.

    Args:
        network: Maps images ``(N, C, H, W)`` to logits ``(N, K)``.
        image: ``(C, H, W)`` as the network takes it.
        overshoot: Share by which the border is passed.
        steps: The most steps.
        classes: How many of the highest classes to look at.

    Returns:
        The changed image, like ``image``; the predicted class may be kept when the steps did not suffice.
    """
    with ExitStack() as stack:
        start = _ready(stack, network, image)
        margins = class_margins(network, int(predicted(network(start[None]))))
        return start + deepfool_flip(margins, start, overshoot=overshoot, steps=steps, classes=classes).change
