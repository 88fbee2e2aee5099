r"""The two-generator explanation: what a similar and an adversarial image of the same image differ in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.models.explainers.generator_bundle import LoadedGenerators, load_generators
from xiqa.models.explainers.generators import Generated
from xiqa.saliency.registry import Needs, image_method
from xiqa.saliency.trained.folder import open_bundle

if TYPE_CHECKING:
    from xiqa.saliency.capture import Context, ImageRecord

__all__ = ["difference", "generate", "grey_of", "twogenerator"]


def grey_of(images: Tensor, loaded: LoadedGenerators) -> Tensor:
    r"""The grey images that generators see, ``(N, 1, h, w)`` in [0, 1], of a classifier's normalised input.

    .. math:: v = \frac1C \sum_c (\sigma_c x_c + \mu_c)

    brought into [0, 1] and to the generators' resolution: both sides shrink as the classifier's own input
    size does to the size that they were trained at.

    Args:
        images: ``(N, C, H, W)``.
        loaded: The generators, whose card tells the normalisation.

    Raises:
        SaliencyError: Another number of channels than the classifier's.
    """
    card = loaded.card
    mean, std = (images.new_tensor(values)[:, None, None] for values in (card.mean, card.std))
    if len(mean) not in (1, images.shape[1]):
        raise SaliencyError(
            "the images do not fit the generators", expected=f"{len(mean)} channels", got=str(images.shape[1])
        )
    grey = (images * std + mean).mean(dim=1, keepdim=True).clamp(0, 1)
    rows, columns = (
        max(1, round(side * ours / theirs))
        for side, ours, theirs in zip(images.shape[-2:], card.size, card.input_size, strict=True)
    )
    if (rows, columns) == tuple(images.shape[-2:]):
        return grey
    return F.interpolate(grey, size=(rows, columns), mode="bilinear", align_corners=False, antialias=True)


def generate(images: Tensor, loaded: LoadedGenerators) -> tuple[Tensor, Generated]:
    """The grey images that the generators see and what they make of them, each ``(N, 1, h, w)`` in [0, 1].

    Args:
        images: ``(N, C, H, W)``, a classifier's normalised input.
        loaded: The generators.
    """
    grey = grey_of(images, loaded)
    with torch.no_grad():
        return grey, loaded.generators(grey)


def difference(grey: Tensor, generated: Generated, *, form: str = "two") -> Tensor:
    r"""What the explanation shows, ``(N, h, w)`` in [0, 1].

    .. math:: E_2(x) = \lvert g_s(x) - g_a(x) \rvert, \qquad E_1(x) = \lvert x - g_a(x) \rvert

    Args:
        grey: :math:`x`, ``(N, 1, h, w)``.
        generated: :math:`g_s(x)` and :math:`g_a(x)`.
        form: ``two`` or ``one``.

    Raises:
        SaliencyError: Another form, or two generators wanted where one was trained.

    >>> x, s, a = (torch.full((1, 1, 1, 1), value) for value in (0.5, 0.25, 0.0))
    >>> difference(x, Generated(s, a)).item(), difference(x, Generated(s, a), form="one").item()
    (0.25, 0.5)
    """
    if form not in ("two", "one"):
        raise SaliencyError("unknown form of the explanation", expected="two or one", got=repr(form))
    if form == "two" and generated.similar is None:
        raise SaliencyError("the bundle holds the adversarial generator alone", todo="add form=one")
    start = grey if form == "one" or generated.similar is None else generated.similar
    return (start - generated.adversarial).abs()[:, 0]


@image_method(
    "twogenerator", needs=Needs.INPUT | Needs.NETWORK | Needs.TRAINED, cite="charachon2020combining"
)
def twogenerator(image: ImageRecord, *, bundle: str | None = None, form: str = "two") -> Tensor:
    r"""Two generators: what a similar and an adversarial image of the same image differ in.

    .. math:: E(x) = \lvert g_s(x) - g_a(x) \rvert

    Both generators were trained for this classifier, from one start: the similar image keeps its verdict,
    the adversarial one turns it, and both stay near the image. What they draw badly, they draw badly alike,
    so it cancels in the difference; in the one-generator form :math:`\lvert x - g_a(x) \rvert` it does not.
    At prediction it costs one pass of each generator and none of the classifier, but for the verdict.

    The map explains the verdict for or against one class, so it is the same for both classes of a head with
    two; of a head with more classes, only the class that the generators were trained for can be explained.

    Args:
        image: The images, and the network whose verdict they explain.
        bundle: Folder that ``xiqa train twogenerator --model M --data D`` wrote.
        form: ``two``, or ``one``: the adversarial generator alone.

    Returns:
        ``(N, h, w)`` in [0, 1], change of grey value, at the generators' resolution.

    Raises:
        SaliencyError: No bundle is named, or the explained class is not the one it was trained for.
        BundleError: The bundle cannot be read, or belongs to another classifier. Source:
            charachon2020combining; its random geometric augmentations are the wrapper ``evet``.
    """
    loaded = open_bundle(
        load_generators, bundle, image.images, method="twogenerator", what="generators that were trained"
    )
    loaded.require(image.pass_.network)
    _explains(image.pass_, loaded)
    grey, generated = generate(image.images, loaded)
    return difference(grey, generated, form=form)


def _explains(context: Context, loaded: LoadedGenerators) -> None:
    """Refuse a class that the generators know nothing of."""
    trained = loaded.card.explained
    if context.logits.shape[1] > 2 and bool((context.target != trained).any()):
        raise SaliencyError(
            "the generators turn the verdict on another class",
            expected=f"class {trained}",
            got=", ".join(map(str, context.target.unique().tolist())),
            todo="train generators for this class: explained = ... in the recipe",
        )
