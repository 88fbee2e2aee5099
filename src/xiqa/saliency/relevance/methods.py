r"""Relevance methods by their registry names.

All read one tape (`Recorded`); each is a set of rules and one sweep back. Maps are signed sums over channels,
so that their total is what the rules keep: the logit, less what biases took (LRP, deep Taylor), or the
logit's difference from the reference (DeepLIFT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency.arrays import places
from xiqa.saliency.gradients.gradient import over_channels
from xiqa.saliency.perturbation.copies import baseline
from xiqa.saliency.registry import Needs, image_method, layer_method
from xiqa.saliency.relevance.deeplift import DeepLift
from xiqa.saliency.relevance.lrp import COMPOSITES, Lrp, composite, deep_taylor
from xiqa.saliency.relevance.lrprules import AlphaBeta, Box, Epsilon, Flat, Gamma, LayerRule, WSquare, ZPlus
from xiqa.saliency.relevance.recorded import Recorded, explained
from xiqa.saliency.relevance.step import Message
from xiqa.saliency.relevance.sweep import propagate
from xiqa.saliency.tokens import feature_map

if TYPE_CHECKING:
    from xiqa.saliency.capture import ImageRecord, LayerRecord

__all__ = [
    "deeplift",
    "deeplift_revealcancel",
    "deeptaylor",
    "lrp_alphabeta",
    "lrp_epsilon",
    "lrp_gamma",
    "lrp_zero",
    "relevancecam",
]

_NEEDS = Needs.INPUT | Needs.NETWORK
_FIRST: dict[str, LayerRule | None] = {"same": None, "box": Box(), "wsquare": WSquare(), "flat": Flat()}


def _first(name: str) -> LayerRule | None:
    if name not in _FIRST:
        raise SaliencyError("unknown rule for the first layer", expected=", ".join(_FIRST), got=repr(name))
    return _FIRST[name]


@image_method("lrp_zero", cite="bach2015lrp", needs=_NEEDS, rule=Recorded, dims=(2, 3))
def lrp_zero(image: ImageRecord, *, bias: bool = True, first: str = "same") -> Tensor:
    r"""LRP-0: relevance in proportion to the contributions, :math:`R_i = \sum_j \frac{x_i w_{ij}}{z_j} R_j`.

    Args:
        image: The images and their recorded pass.
        bias: Whether biases take their share; without, it goes to the inputs.
        first: Rule of the first layer: ``same``, ``box``, ``wsquare`` or ``flat``.

    Returns:
        ``(N, H, W)``, logits. Source: bach2015lrp, eq. 56 (without its stabiliser).
    """
    rule = Epsilon(0.0, bias=bias)
    return over_channels(explained(image, Lrp(rule, rule, _first(first))), "signed")


@image_method("lrp_epsilon", cite="bach2015lrp", needs=_NEEDS, rule=Recorded, dims=(2, 3))
def lrp_epsilon(
    image: ImageRecord,
    *,
    epsilon: float = 1e-6,
    signed: bool = True,
    bias: bool = True,
    first: str = "same",
    composite: str = "epsilon",
) -> Tensor:
    r"""LRP-epsilon: like LRP-0, but weak and contradictory contributions are absorbed.

    .. math:: R_i = \sum_j \frac{x_i w_{ij}}{z_j + \epsilon \, \mathrm{sgn}\, z_j} R_j

    Args:
        image: The images and their recorded pass.
        epsilon: The stabiliser, in units of the layers' outputs.
        signed: Whether the stabiliser takes the sign of :math:`z_j`; False adds it as it is.
        bias: Whether biases take their share.
        first: Rule of the first layer: ``same``, ``box``, ``wsquare`` or ``flat``.
        composite: ``epsilon``: in all layers; another name of `COMPOSITES`: in the linear layers, with that
            composite's rules for convolutions and the first layer (the other parameters then do not count).

    Returns:
        ``(N, H, W)``, logits. Source: bach2015lrp, eq. 58; composites: montavon2019lrp, kohlbrenner2020lrp.
    """
    if composite == "epsilon":
        rule = Epsilon(epsilon, signed=signed, bias=bias)
        rules = Lrp(rule, rule, _first(first))
    else:
        rules = _composite(composite, epsilon)
    return over_channels(explained(image, rules), "signed")


def _composite(name: str, epsilon: float) -> Lrp:
    if name not in COMPOSITES:
        raise SaliencyError("unknown composite", expected=", ".join(COMPOSITES), got=repr(name))
    return composite(name, epsilon)


@image_method("lrp_gamma", cite="montavon2019lrp", needs=_NEEDS, rule=Recorded, dims=(2, 3))
def lrp_gamma(image: ImageRecord, *, gamma: float = 0.25, first: str = "same") -> Tensor:
    r"""LRP-gamma: positive contributions count more, by :math:`w_{ij} + \gamma w_{ij}^+`.

    Args:
        image: The images and their recorded pass.
        gamma: How much more; 0 is LRP-0.
        first: Rule of the first layer: ``same``, ``box``, ``wsquare`` or ``flat``.

    Returns:
        ``(N, H, W)``, logits. Source: montavon2019lrp, section 10.2.1; extended to negative inputs and
        outputs, see `Gamma`.
    """
    return over_channels(explained(image, Lrp(Gamma(gamma), Gamma(gamma), _first(first))), "signed")


@image_method("lrp_alphabeta", cite="bach2015lrp", needs=_NEEDS, rule=Recorded, dims=(2, 3))
def lrp_alphabeta(
    image: ImageRecord, *, alpha: float = 2.0, beta: float = 1.0, bias: bool = True, first: str = "same"
) -> Tensor:
    r"""LRP-alpha-beta: what speaks for a neuron counts alpha, what speaks against it minus beta.

    Args:
        image: The images and their recorded pass.
        alpha: Weight of positive contributions; :math:`\alpha - \beta = 1` keeps the sum.
        beta: Weight of negative contributions.
        bias: Whether biases take their share.
        first: Rule of the first layer: ``same``, ``box``, ``wsquare`` or ``flat``.

    Returns:
        ``(N, H, W)``, logits. Source: bach2015lrp, eq. 60.

    Raises:
        SaliencyError: :math:`\alpha - \beta` is not 1.
    """
    if abs(alpha - beta - 1) > 1e-9:
        raise SaliencyError(
            "alpha and beta do not keep the sum", expected="alpha - beta = 1", got=f"{alpha} - {beta}"
        )
    rule = AlphaBeta(alpha, beta, bias=bias)
    return over_channels(explained(image, Lrp(rule, rule, _first(first), positive_sums=True)), "signed")


@image_method("deeptaylor", cite="montavon2017deeptaylor", needs=_NEEDS, rule=Recorded, dims=(2, 3))
def deeptaylor(
    image: ImageRecord, *, bounded: bool = True, low: float | None = None, high: float | None = None
) -> Tensor:
    r"""Deep Taylor decomposition: a first-order expansion of each layer at its own root point.

    Args:
        image: The images and their recorded pass.
        bounded: Whether pixels have bounds (the :math:`z^B` rule in the first layer) or not (:math:`w^2`).
        low: The lower bound, as the network takes its images; None: each image's own, a channel.
        high: The upper bound.

    Returns:
        ``(N, H, W)``, logits; of one sign on networks of convolutions, ReLU and pooling.
        Source: montavon2017deeptaylor, sections 4 and 5.
    """
    return over_channels(explained(image, deep_taylor(low, high, bounded=bounded)), "signed")


def _compared(image: ImageRecord, rules: DeepLift, reference: object) -> Tensor:
    """Contributions, averaged over one or several references."""
    kinds = reference if isinstance(reference, tuple) else (reference,)
    maps = [
        explained(image, rules, baseline(image.images, kind, dims=image.images.dim() - 2)) for kind in kinds
    ]
    return over_channels(torch.stack(maps).mean(dim=0), "signed")


@image_method("deeplift", cite="shrikumar2017deeplift", needs=_NEEDS, rule=Recorded, dims=(2, 3))
def deeplift(image: ImageRecord, *, reference: str | float | tuple[str | float, ...] = 0.0) -> Tensor:
    r"""DeepLIFT with the linear and rescale rules: :math:`\sum_u S(u) = z_c(x) - z_c(x^0)`.

    Args:
        image: The images and their recorded pass.
        reference: :math:`x^0`: a number, ``mean``, ``min`` (black) or ``blur``; several are averaged. See
            `xiqa.saliency.perturbation.copies.baseline`.

    Returns:
        ``(N, H, W)``, logits. Source: shrikumar2017deeplift, section 3.5.2; products, norms and pools see
        `DeepLift`.
    """
    return _compared(image, DeepLift(), reference)


@image_method("deeplift_revealcancel", cite="shrikumar2017deeplift", needs=_NEEDS, rule=Recorded, dims=(2, 3))
def deeplift_revealcancel(
    image: ImageRecord, *, reference: str | float | tuple[str | float, ...] = 0.0, where: str = "all"
) -> Tensor:
    r"""DeepLIFT with the RevealCancel rule: positive and negative contributions are told apart.

    Args:
        image: The images and their recorded pass.
        reference: As in `deeplift`.
        where: ``all`` activations, or ``dense``: those behind linear layers, rescale elsewhere.

    Returns:
        ``(N, H, W)``, logits. Source: shrikumar2017deeplift, section 3.5.3.
    """
    if where not in ("all", "dense"):
        raise SaliencyError("unknown place for RevealCancel", expected="all or dense", got=repr(where))
    return _compared(image, DeepLift(where), reference)


@layer_method("relevancecam", needs=Needs.OUTPUT | Needs.NETWORK, cite="lee2021relevancecam", dims=(2, 3))
def relevancecam(layer: LayerRecord, *, relu: bool = True) -> Tensor:
    r"""Relevance-CAM: a layer's channels, weighted by their relevance for this class and no other.

    .. math:: L = \mathrm{ReLU}\Big(\sum_k A_k \sum_u R_k(u)\Big), \qquad
       R^{\text{start}}_n = \begin{cases} z_c & n = c \\ -z_c / (K - 1) & \text{else} \end{cases}

    and :math:`z^+` in all layers on the way back. Two logits that mirror each other, :math:`(-z, z)`, rest on
    the same evidence, and their contrast would cancel: there, as with one logit, the start is
    :math:`z_c` alone.

    Args:
        layer: Output A, ``(N, C, h, w)``.
        relu: Whether to keep the positive part alone.

    Returns:
        ``(N, h, w)``. Source: lee2021relevancecam, section 3; it has no mirrored logits.
    """
    context = layer.pass_

    def contrast(logits: Tensor) -> Message:
        classes, index = logits.shape[1], context.target[:, None]
        if classes == 1:
            return Message(relevance=torch.where(index == 1, logits, -logits))
        explained_logit = logits.gather(1, index)
        rest = -explained_logit / (classes - 1)
        if classes == 2:
            rest = rest.masked_fill(logits.sum(dim=1, keepdim=True) == 0, 0)
        rest = rest.expand_as(logits)
        return Message(relevance=rest.scatter(1, index, explained_logit))

    rules = Lrp(ZPlus(), ZPlus(), positive_sums=True)
    relevance = propagate(context.network, context.images, contrast, rules, layer=layer.name)
    relevance = feature_map(relevance, context.images, layer.name, context.network)
    total = (relevance.sum(dim=places(relevance), keepdim=True) * layer.output).sum(dim=1)
    return total.relu() if relu else total
