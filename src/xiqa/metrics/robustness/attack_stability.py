"""How alike the maps before and after an attack are."""

from __future__ import annotations

from math import nan
from typing import Literal

import torch
from torch import Tensor, nn

from xiqa.errors import MetricError
from xiqa.metrics.agreement.compare import agreement
from xiqa.metrics.arguments import ClassIndex, Explain, NotNegative, Picture
from xiqa.metrics.perturbation import check_class
from xiqa.metrics.registry import metric
from xiqa.saliency.adversarial.attacks import deepfool, fgsm, pgd
from xiqa.saliency.state import evaluating

__all__ = ["Attack", "attack_stability", "attacked"]

Attack = Literal["fgsm", "pgd", "deepfool"]


def attacked(network: nn.Module, image: Tensor, target: int, attack: Attack, epsilon: float) -> Tensor:
    """The image after an attack by name.

    Raises:
        MetricError: There is none of that name.
    """
    if attack == "fgsm":
        return fgsm(network, image, target, epsilon=epsilon)
    if attack == "pgd":
        return pgd(network, image, target, epsilon=epsilon)
    if attack == "deepfool":
        return deepfool(network, image)
    raise MetricError("unknown attack", expected="'fgsm', 'pgd' or 'deepfool'", got=repr(attack))


@metric(
    "attack_stability",
    "robustness",
    higher_is_better=True,
    bounds=(-1, 1),
    cite="ghorbani2019fragile",
    cases={"constant": nan},
)
def attack_stability(
    explain: Explain,
    image: Picture,
    *,
    network: nn.Module,
    target: ClassIndex,
    attack: Attack = "fgsm",
    epsilon: NotNegative = 0.01,
    measure: str = "spearman",
) -> float:
    r"""Agreement of the maps of an image before and after an adversarial change of it.

    .. math:: \mathrm{sim}\bigl(\Phi(x), \Phi(x')\bigr), \qquad x' = \mathrm{attack}(f, x, c)

    **Pitfalls.** Where the attack changes the prediction, a faithful map *should* change: read it with the
    prediction. An explanation of a fixed class and one of the predicted class are different questions.

    **Variants.** ``attack``: ``fgsm``, ``pgd`` (both with ``epsilon``) or ``deepfool``; ``measure``: any
    metric of agreement. The source attacks the map itself; here the prediction is attacked.

    Args:
        explain: Gives maps ``(N, h, w)`` of images ``(N, C, H, W)``.
        image: ``(C, H, W)`` as the network takes it.
        network: The network under attack; left as it was.
        target: The class to leave.
        attack: Name of the attack.
        epsilon: Largest change of a pixel, in units of the network's input.
        measure: Name of the metric of agreement.

    Returns:
        The measure's value; NaN where the measure has none.

    Raises:
        MetricError: The attack or the measure is not known.
    """
    with evaluating(network), torch.no_grad():
        check_class(network(image[None]), target)
    pair = torch.stack([image, attacked(network, image, target, attack, epsilon)])
    before, after = explain(pair).detach().double().cpu().numpy()
    return agreement(measure, before, after)
