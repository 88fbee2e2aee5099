r"""The smallest change that flips a verdict: FGSM and PGD with a searched size, and DeepFool.

A verdict is told by *margins*: a function of images ``(M, C, H, W)`` that gives ``(M, J)``. It holds where
all J are positive, so :math:`s(x) = \min_j m_j(x)` is its score, and a flip is a change of that score's sign.
"Is it class c?" has the margins :math:`z_c - z_j`; a probability above a limit has a single one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xiqa.errors import SaliencyError

__all__ = [
    "Flip",
    "Margins",
    "class_margins",
    "deepfool_flip",
    "fgsm_flip",
    "pgd_flip",
    "score_gradient",
    "smallest",
    "verdict_margins",
]

Margins = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Flip:
    """A change of one image, and what it did.

    Attributes:
        change: ``(C, H, W)``, in units of the network's input.
        before: The verdict's score of the image; positive where the verdict holds.
        after: Its score with the change.
    """

    change: Tensor
    before: float
    after: float

    @property
    def flipped(self) -> bool:
        """Whether the change suffices."""
        return (self.before > 0) != (self.after > 0)

    @property
    def largest(self) -> float:
        """The largest change of a value, the L-infinity norm."""
        return float(self.change.abs().max())

    @property
    def length(self) -> float:
        """The change's Euclidean length, the L2 norm."""
        return float(self.change.norm())

    @property
    def pixels(self) -> int:
        """How many pixels changed in any channel, the L0 norm."""
        return int((self.change != 0).any(dim=0).sum())


def verdict_margins(logits: Tensor, target: int, *, multilabel: bool = False) -> Tensor:
    r"""By how much a class leads each other one: :math:`m_j = z_c - z_j, j \ne c`.

    Args:
        logits: ``(M, K)``; with ``K = 1`` class 1 is :math:`z > 0` and class 0 its opposite.
        target: The class c.
        multilabel: Whether the classes do not exclude one another: then :math:`m = z_c`.

    Returns:
        ``(M, J)``: all positive where the class is predicted.

    >>> verdict_margins(torch.tensor([[1.0, 3.0, 0.5]]), 1)
    tensor([[2.0000, 2.5000]])
    """
    if logits.shape[1] == 1:
        return logits if target == 1 else -logits
    own = logits[:, target : target + 1]
    if multilabel:
        return own
    return own - torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)


def class_margins(network: nn.Module, target: int, *, multilabel: bool = False) -> Margins:
    """The margins of "is it this class?"; see `verdict_margins`."""
    return lambda images: verdict_margins(network(images), target, multilabel=multilabel)


def _score(margins: Margins, image: Tensor) -> float:
    with torch.no_grad():
        return float(margins(image[None]).amin())


def score_gradient(margins: Margins, image: Tensor) -> tuple[float, Tensor]:
    """The verdict's score of an image ``(C, H, W)``, and its gradient there."""
    with torch.enable_grad():
        leaf = image.detach().requires_grad_()
        score = margins(leaf[None]).amin()
        return float(score.detach()), torch.autograd.grad(score, leaf)[0]


def smallest(
    change: Callable[[float], Tensor],
    flips: Callable[[Tensor], bool],
    *,
    start: float,
    most: float,
    bisections: int,
) -> Tensor:
    r"""The change of the smallest size that flips, found by growing sizes and then by halving.

    Sizes grow by :math:`\sqrt 2` from ``start`` until one flips; between the last that did not and the first
    that did, the interval is halved. A flip at a size between two that were tried and did not flip is missed.

    Args:
        change: The change of a size.
        flips: Whether a change flips.
        start: The first size.
        most: The largest size.
        bisections: How often the interval is halved; 8 leave 0.2 % of the size.

    Returns:
        The change; that of the largest size where none flips.
    """
    low, high = 0.0, min(start, most)
    flipped = change(high)
    while not flips(flipped):
        if high >= most:
            return flipped
        low, high = high, min(high * math.sqrt(2), most)
        flipped = change(high)
    for _ in range(bisections):
        middle = (low + high) / 2
        tried = change(middle)
        if flips(tried):
            high, flipped = middle, tried
        else:
            low = middle
    return flipped


def _reach(image: Tensor, most: float | None) -> float:
    """The largest size of a change: the range of the image's values, 1 for a constant image."""
    if most is not None:
        return most
    spread = float(image.max() - image.min())
    return spread if spread > 0 else 1.0


def _first(score: float, gradient: Tensor, most: float) -> float:
    """Half the size that would flip a linear score, so that the search starts below a flip."""
    steepness = float(gradient.abs().sum())
    guess = 0.5 * abs(score) / steepness if steepness > 0 else most
    return guess if 0 < guess < most else 1e-3 * most


def fgsm_flip(margins: Margins, image: Tensor, *, most: float | None = None, bisections: int = 8) -> Flip:
    r"""The smallest step of the gradient's sign that flips the verdict.

    .. math:: \varepsilon^* = \min \{\varepsilon :
       \operatorname{sign} s(x - \varepsilon \operatorname{sign}(s)\operatorname{sign} \nabla s(x))
       \ne \operatorname{sign} s(x)\}

    For a linear score :math:`s = w \cdot x + b` it is :math:`|s| / \lVert w \rVert_1`, and no change with a
    smaller largest value flips. Deviations from the source: the gradient is the score's, not the
    cross-entropy's, whose gradient vanishes where the network is sure; the size is searched.

    Args:
        margins: The verdict.
        image: ``(C, H, W)``.
        most: Largest :math:`\varepsilon`; None: the range of the image's values.
        bisections: See `smallest`.

    Returns:
        The change. Source: goodfellow2015explaining.
    """
    score, gradient = score_gradient(margins, image)
    direction = gradient.sign() * (-1 if score > 0 else 1)
    reach = _reach(image, most)
    flip = smallest(
        lambda size: size * direction,
        lambda change: (_score(margins, image + change) > 0) != (score > 0),
        start=_first(score, gradient, reach),
        most=reach,
        bisections=bisections,
    )
    return Flip(flip, score, _score(margins, image + flip))


def pgd_flip(
    margins: Margins,
    image: Tensor,
    *,
    most: float | None = None,
    steps: int = 10,
    bisections: int = 8,
) -> Flip:
    r"""The smallest box around the image in which steps of the gradient's sign flip the verdict.

    .. math:: x_{t+1} = \Pi_{\lVert x' - x \rVert_\infty \le \varepsilon}
       \bigl(x_t - \tfrac{\varepsilon}{4} \operatorname{sign}(s)\operatorname{sign} \nabla s(x_t)\bigr)

    from :math:`x_0 = x`, stopping at the first flip; :math:`\varepsilon` is searched as in `fgsm_flip`.
    Deviations from the source: no random start, so that the same image gives the same change; the score's
    gradient for the loss's.

    Args:
        margins: The verdict.
        image: ``(C, H, W)``.
        most: Largest :math:`\varepsilon`; None: the range of the image's values.
        steps: Steps in a box.
        bisections: See `smallest`.

    Returns:
        The change. Source: madry2018towards.
    """
    before, gradient = score_gradient(margins, image)
    way = -1 if before > 0 else 1
    reach = _reach(image, most)

    def inside(size: float) -> Tensor:
        change, slope = torch.zeros_like(image), gradient
        for step in range(steps):
            change = (change + way * size / 4 * slope.sign()).clamp(-size, size)
            if step + 1 < steps:
                score, slope = score_gradient(margins, image + change)
                if (score > 0) != (before > 0):
                    break
        return change

    flip = smallest(
        inside,
        lambda change: (_score(margins, image + change) > 0) != (before > 0),
        start=_first(before, gradient, reach),
        most=reach,
        bisections=bisections,
    )
    return Flip(flip, before, _score(margins, image + flip))


def deepfool_flip(
    margins: Margins,
    image: Tensor,
    *,
    overshoot: float = 0.02,
    steps: int = 50,
    classes: int = 10,
    measure: str = "l2",
) -> Flip:
    r"""The nearest image with the other verdict, by steps to the nearest linearised border.

    .. math:: r = -\frac{m_k}{\lVert w_k \rVert_2^2} w_k \quad (L_2), \qquad
       r = -\frac{m_k}{\lVert w_k \rVert_1} \operatorname{sign} w_k \quad (L_\infty), \qquad
       w_k = \nabla m_k,

    where the verdict holds with :math:`k = \arg\min_j |m_j| / \lVert w_j \rVert_2` (or 1), the border that
    is nearest, and where it does not with the margin most in its way; repeated until the sign changes. The
    sum of the steps is lengthened by ``overshoot``. On a linear score one step is exact.

    Args:
        margins: The verdict.
        image: ``(C, H, W)``.
        overshoot: Share by which the border is passed.
        steps: The most steps.
        classes: How many margins to look at, the smallest ones.
        measure: What is short: ``l2``, or ``linf``, the largest change of a value.

    Returns:
        The change; it may not suffice when the steps are used up or the score is flat. Source:
        moosavi2016deepfool; the way into a class is an extension.

    Raises:
        SaliencyError: Another measure.
    """
    if measure not in ("l2", "linf"):
        raise SaliencyError("no such measure of a change", expected="l2 or linf", got=repr(measure))
    moved = torch.zeros_like(image)
    with torch.no_grad():
        first = margins(image[None])[0]
    before = after = float(first.amin())
    near = first.argsort()[: max(1, classes - 1)].tolist()
    for _ in range(steps):
        with torch.enable_grad():
            leaf = (image + (1 + overshoot) * moved).detach().requires_grad_()
            values = margins(leaf[None])[0]
            after = float(values.detach().amin())
            if (after > 0) != (before > 0):
                break
            step = _to_border(values, leaf, near if before > 0 else [int(values.detach().argmin())], measure)
        if step is None or not step.isfinite().all():
            break  # so flat that no step of a finite length leads anywhere
        moved = moved + step
    change = (1 + overshoot) * moved
    return Flip(change, before, _score(margins, image + change))


def _to_border(margins: Tensor, leaf: Tensor, among: list[int], measure: str) -> Tensor | None:
    """The shortest step to where one of some margins is 0, to first order; None where all are flat."""
    best, nearest = None, math.inf
    for place in among:
        slope = torch.autograd.grad(margins[place], leaf, retain_graph=True)[0]
        gap, length = float(margins[place].detach()), float(slope.norm(p=2 if measure == "l2" else 1))
        if length > 0 and abs(gap) / length < nearest:
            nearest = abs(gap) / length
            direction = slope / length if measure == "l2" else slope.sign()
            # a hair more than the gap, so that a step on the border still moves
            best = direction * (-(gap + math.copysign(1e-4, gap)) / length)
    return best
