r"""The soft decision tree that stands for a classifier: what each place of an image adds to its decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from xiqa.errors import SaliencyError
from xiqa.models.explainers.softtree import load_tree, place_weights, tree_input
from xiqa.saliency.registry import Needs, image_method
from xiqa.saliency.trained.folder import open_bundle

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.models.explainers.softtree import TreeCard
    from xiqa.saliency.capture import ImageRecord

__all__ = ["softtree"]


@image_method("softtree", needs=Needs.INPUT | Needs.NETWORK | Needs.TRAINED, cite="frosst2017distilling")
def softtree(image: ImageRecord, *, bundle: str | None = None) -> Tensor:
    r"""Soft decision tree: what each place adds to the turns of a tree that stands for the classifier.

    .. math::
        M_c(u) = \sum_i P_i(x)\,\big(Q_{2i+2,c}(x) - Q_{2i+1,c}(x)\big)\, s_i(u), \qquad
        \sum_u s_i(u) = w_i \cdot (x - \mu)

    Node i is reached with the probability :math:`P_i`; its right and left subtree expect the class with
    :math:`Q_{2i+2,c}` and :math:`Q_{2i+1,c}`. So each node speaks as loud as it decides, and not less where
    it is sure, as the gradient would: the slope of the turn's sigmoid is left out. What a place adds to the
    turn, :math:`s_i(u)`, is told against the training images' mean :math:`\mu`; see
    `xiqa.models.explainers.softtree.place_weights`.

    The map explains the tree, and the classifier only as far as the tree stands for it: see the fidelity in
    its card. It costs one forward pass more, or none where the tree looks at pixels.

    Args:
        image: The images, and the network that the tree stands for.
        bundle: Folder ``tree`` that ``xiqa train softtree --model M --data D`` wrote.

    Returns:
        ``(N, h, w)``, signed, of no unit, at the layer's size or the small image's; with two classes, the map
        of one is that of the other with the sign turned.

    Raises:
        SaliencyError: No bundle is named, or the tree has no answer for the explained class.
        BundleError: The tree cannot be read, or stands for another classifier. Source: frosst2017distilling
            for the tree; the map is ours.
    """
    loaded = open_bundle(load_tree, bundle, image.images, method="softtree", what="a tree that was trained")
    tree, card = loaded.tree, loaded.card
    card.require(image.pass_.network)
    classes = _answers(card, image.pass_.target)
    inputs, source = tree_input(image.pass_.network, image.images, card.look)
    stakes = torch.stack([stakes[:, c] for stakes, c in zip(tree.stakes(inputs), classes, strict=True)])
    return place_weights(tree, stakes @ tree.filters(), source, card.look)


def _answers(card: TreeCard, target: Tensor) -> list[int]:
    """The tree's answer, 0 for good and 1 for poor, that each explained class is."""
    classes = target.tolist()
    unknown = sorted(set(classes) - set(card.targets))
    if unknown:
        known = [str(index) for index in card.targets if index is not None]
        raise SaliencyError(
            "the tree tells good from poor, and no other class",
            expected=f"class {' or '.join(known)}" if known else "one problem, which has a class",
            got=", ".join(map(str, unknown)),
            todo="explain the poor class, or choose a method that needs no tree",
        )
    return [card.targets.index(index) for index in classes]
