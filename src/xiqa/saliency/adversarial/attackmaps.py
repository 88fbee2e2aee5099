r"""Maps of the smallest change that flips a verdict: FGSM, PGD and DeepFool.

The verdict is whether the network calls the image the explained class. Where it does, the change makes it
stop; where it does not, the change makes it start. What such a change shows is where the network is
*sensitive*; that need not be where the class's evidence lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency.adversarial.flips import (
    Flip,
    class_margins,
    deepfool_flip,
    fgsm_flip,
    pgd_flip,
    score_gradient,
)
from xiqa.saliency.gradients.gradient import over_channels
from xiqa.saliency.registry import Needs, probe_method

if TYPE_CHECKING:
    from collections.abc import Callable

    from xiqa.saliency.adversarial.flips import Margins
    from xiqa.saliency.probe import ProbeRecord

__all__ = ["deepfool", "fgsm", "pgd", "shown"]

NEEDS = Needs.INPUT | Needs.NETWORK


def shown(change: Tensor, gradient: Tensor | None, norm: str) -> Tensor:
    r"""A change ``(C, H, W)`` as a map ``(H, W)``.

    Args:
        change: :math:`\delta`.
        gradient: :math:`\nabla s(x)`, to show what the change does to first order,
            :math:`\sum_k |\delta_k \nabla_k s|`; None to show how large it is.
        norm: How a pixel's channels become one size; see `xiqa.saliency.gradients.gradient.over_channels`.

    Returns:
        Not negative.
    """
    if gradient is None:
        return over_channels(change.abs()[None], norm)[0]
    return (change * gradient).abs().sum(dim=0)


def _map(sample: ProbeRecord, find: Callable[[Margins], Flip], show: str, norm: str) -> Tensor:
    """The map of the change that a search finds for one image."""
    if show not in ("change", "effect"):
        raise SaliencyError("nothing else to show", expected="change or effect", got=repr(show))
    assert sample.network is not None
    margins = class_margins(sample.network, sample.target, multilabel=sample.multilabel)
    change = find(margins).change
    return shown(change, score_gradient(margins, sample.image)[1] if show == "effect" else None, norm)


@probe_method("fgsm", cite="goodfellow2015explaining", needs=NEEDS)
def fgsm(
    sample: ProbeRecord,
    *,
    most: float | None = None,
    bisections: int = 8,
    show: str = "effect",
    norm: str = "l2",
) -> Tensor:
    r"""FGSM: the smallest step of the gradient's sign that flips the verdict, and what each pixel adds to it.

    .. math:: S(u) = \sum_k \left| \delta_k(u) \frac{\partial s}{\partial x_k(u)} \right|, \qquad
       \delta = -\varepsilon^* \operatorname{sign}(s) \operatorname{sign} \nabla s(x)

    with the score s of `xiqa.saliency.adversarial.flips`. The change itself is as large everywhere, so its
    size is no map; what it does is one: the plain gradient's absolute values, in logits of the flip.

    **Cost**: one backward pass and about 15 forward passes an image. **Not for** telling where the evidence
    is: use it for how little it takes.

    Args:
        sample: The image and the network.
        most: Largest step, in units of the network's input; None: the range of the image's values.
        bisections: How often the interval around the smallest step is halved.
        show: ``effect`` as above, or ``change``: :math:`\lVert \delta(u) \rVert`.
        norm: How a pixel's channels become one size, for ``change``.

    Returns:
        ``(H, W)``; of the largest step where none flips. Source: goodfellow2015explaining; see
        `xiqa.saliency.adversarial.flips.fgsm_flip` for the deviations.
    """
    return _map(
        sample,
        lambda margins: fgsm_flip(margins, sample.image, most=most, bisections=bisections),
        show,
        norm,
    )


@probe_method("pgd", cite="madry2018towards", needs=NEEDS)
def pgd(
    sample: ProbeRecord,
    *,
    most: float | None = None,
    steps: int = 10,
    bisections: int = 6,
    show: str = "effect",
    norm: str = "l2",
) -> Tensor:
    r"""PGD: the change in the smallest box that flips the verdict, and what each pixel adds to it.

    .. math:: S(u) = \sum_k \left| \delta_k(u) \frac{\partial s}{\partial x_k(u)} \right|, \qquad
       \lVert \delta \rVert_\infty \le \varepsilon^*

    with the score s of `xiqa.saliency.adversarial.flips`. Most of the change lies on the box's walls, so its
    size alone is a poor map.

    **Cost**: about 10 searches of up to ``steps`` backward passes an image. **Not for** many images; FGSM
    gives nearly the same map for a tenth.

    Args:
        sample: The image and the network.
        most: Largest box, in units of the network's input; None: the range of the image's values.
        steps: Steps in a box.
        bisections: How often the interval around the smallest box is halved.
        show: ``effect`` as above, or ``change``: :math:`\lVert \delta(u) \rVert`.
        norm: How a pixel's channels become one size, for ``change``.

    Returns:
        ``(H, W)``; of the largest box where none flips. Source: madry2018towards; see
        `xiqa.saliency.adversarial.flips.pgd_flip` for the deviations.
    """
    return _map(
        sample,
        lambda margins: pgd_flip(margins, sample.image, most=most, steps=steps, bisections=bisections),
        show,
        norm,
    )


@probe_method("deepfool", cite="moosavi2016deepfool", needs=NEEDS)
def deepfool(
    sample: ProbeRecord,
    *,
    steps: int = 50,
    overshoot: float = 0.02,
    classes: int = 10,
    measure: str = "l2",
    show: str = "change",
    norm: str = "l2",
) -> Tensor:
    r"""DeepFool: the shortest change that flips the verdict.

    .. math:: S(u) = \lVert r(u) \rVert_2, \qquad r = \arg\min_r \lVert r \rVert_2 :
       \operatorname{sign} s(x + r) \ne \operatorname{sign} s(x)

    by steps to the nearest linearised border; the map's own Euclidean length is the change's.

    **Cost**: a forward and a backward pass a step (times the classes looked at, for more than two); three to
    five steps are usual. **Not for** telling where the evidence is: use it for how little it takes.

    Args:
        sample: The image and the network.
        steps: The most steps.
        overshoot: Share by which the border is passed.
        classes: How many of the nearest classes to look at.
        measure: What is short: ``l2``, or ``linf``, the largest change of a value.
        show: ``change`` as above, or ``effect``: :math:`\sum_k |r_k \, \partial s / \partial x_k|`.
        norm: How a pixel's channels become one size, for ``change``.

    Returns:
        ``(H, W)``; of the change after the last step where none flips. Source: moosavi2016deepfool; see
        `xiqa.saliency.adversarial.flips.deepfool_flip` for the deviations.
    """
    return _map(
        sample,
        lambda margins: deepfool_flip(
            margins, sample.image, overshoot=overshoot, steps=steps, classes=classes, measure=measure
        ),
        show,
        norm,
    )
