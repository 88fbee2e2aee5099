r"""A soft decision tree: inner nodes send an image left or right by a filter, leaves have a distribution.

Nodes are counted from the root, level by level: node i has the children 2i + 1 (left) and 2i + 2 (right).
With the input x, node i goes right with

.. math:: p_i(x) = \sigma\big(\beta\,(x \cdot w_i + b_i)\big),

a leaf is reached with the product of its turns, :math:`P^\ell(x)`, and has a distribution over classes that
does not depend on x, :math:`Q^\ell = \mathrm{softmax}(\phi^\ell)`. Source: ``frosst2017distilling``.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, cast

import safetensors.torch
import torch
import torch.nn.functional as F
from pydantic import Field
from safetensors import SafetensorError
from torch import Tensor, nn

from xiqa.config import Section
from xiqa.errors import BundleError, ModelError
from xiqa.models.card import Estimate
from xiqa.models.explainers.card import ExplainerCard
from xiqa.models.sealed import open_card, open_weights, seal

if TYPE_CHECKING:
    import os

__all__ = [
    "Fidelity",
    "LoadedTree",
    "SoftTree",
    "TreeCard",
    "TreeInput",
    "Turns",
    "load_tree",
    "place_weights",
    "save_tree",
    "tree_input",
]

CARD, WEIGHTS = "softtree.json", "softtree.safetensors"
ADVICE = "name the folder that `xiqa train softtree` wrote: RUN/tree"


class Turns(NamedTuple):
    """How inputs run through a tree.

    Attributes:
        right: ``(N, I)``, the probability of going right at each inner node.
        reached: ``(N, I)``, the probability of reaching each inner node.
        leaves: ``(N, L)``, the probability of reaching each leaf; a row sums to 1.
    """

    right: Tensor
    reached: Tensor
    leaves: Tensor


class SoftTree(nn.Module):
    r"""See the module. Inputs are standardised by a mean and a deviation that the tree keeps.

    Args:
        depth: Levels of inner nodes; :math:`2^d` leaves.
        inputs: Length of an input.
        classes: Of the leaves' distributions.
        sharpness: The inverse temperature :math:`\beta`.

    >>> tree = SoftTree(depth=2, inputs=5)
    >>> round(tree.turns(torch.zeros(1, 5)).leaves.sum().item(), 5)
    1.0
    """

    def __init__(self, depth: int, inputs: int, classes: int = 2, sharpness: float = 1.0) -> None:
        super().__init__()
        if not 1 <= depth <= 8 or inputs < 1 or classes < 2 or sharpness <= 0:
            raise ModelError(
                "no such tree",
                expected="depth 1 to 8, inputs >= 1, classes >= 2, sharpness > 0",
                got=f"depth={depth}, inputs={inputs}, classes={classes}, sharpness={sharpness}",
            )
        self.depth, self.sharpness = depth, sharpness
        self.split = nn.Linear(inputs, 2**depth - 1)
        self.leaf = nn.Parameter(torch.zeros(2**depth, classes))
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))

    @property
    def levels(self) -> Tensor:
        """The level of each inner node, 0 for the root."""
        return torch.tensor([int(math.log2(node + 1)) for node in range(2**self.depth - 1)])

    def turns(self, inputs: Tensor) -> Turns:
        """How inputs ``(N, F)`` run through the tree."""
        standard = (inputs - cast("Tensor", self.mean)) / cast("Tensor", self.deviation)
        right = (self.sharpness * self.split(standard)).sigmoid()
        level, reached = inputs.new_ones(len(inputs), 1), []
        for depth in range(self.depth):
            reached.append(level)
            here = right[:, 2**depth - 1 : 2 ** (depth + 1) - 1]
            level = torch.stack([level * (1 - here), level * here], dim=2).flatten(1)
        return Turns(right, torch.cat(reached, dim=1), level)

    def log_distributions(self) -> Tensor:
        """The logarithm of the leaves' distributions, ``(L, K)``."""
        return self.leaf.log_softmax(dim=1)

    def likeliest(self, inputs: Tensor) -> Tensor:
        """The distribution ``(N, K)`` of each input's most probable leaf: the tree's answer."""
        return self.log_distributions().exp()[self.turns(inputs).leaves.argmax(dim=1)]

    def forward(self, inputs: Tensor) -> Tensor:
        """The mean distribution ``(N, K)`` over all leaves, each as probable as it is reached."""
        return self.turns(inputs).leaves @ self.log_distributions().exp()

    def stakes(self, inputs: Tensor) -> Tensor:
        r"""What is at stake at each inner node: how much more probable a class is if it turns right.

        .. math:: V_i = P_i\,(Q_{2i+2} - Q_{2i+1}) = \frac{\partial}{\partial p_i} \sum_\ell P^\ell Q^\ell

        with the probability :math:`P_i` of reaching node i, and the distribution :math:`Q_j` that the subtree
        below node j expects of this input; that of a leaf is its own.

        Args:
            inputs: ``(N, F)``.

        Returns:
            ``(N, I, K)`` in [-1, 1]; it sums to 0 over classes.
        """
        turns = self.turns(inputs)
        level = self.log_distributions().exp().expand(len(inputs), -1, -1)
        levels = []
        for depth in reversed(range(self.depth)):
            left, right = level[:, ::2], level[:, 1::2]
            levels.append(right - left)
            level = left + turns.right[:, 2**depth - 1 : 2 ** (depth + 1) - 1, None] * levels[-1]
        return turns.reached[:, :, None] * torch.cat(levels[::-1], dim=1)

    def way(self, inputs: Tensor) -> list[tuple[int, bool]]:
        """The way of one input ``(1, F)`` to its likeliest leaf: inner nodes, and whether it turns right."""
        node = int(self.turns(inputs).leaves[0].argmax()) + 2**self.depth - 1
        turns = []
        while node:
            turns.append(((node - 1) // 2, node % 2 == 0))
            node = (node - 1) // 2
        return turns[::-1]

    def filters(self) -> Tensor:
        """The inner nodes' filters ``(I, F)`` on inputs as they come, not standardised."""
        return self.split.weight.detach() / cast("Tensor", self.deviation)


class TreeInput(Section):
    """What a tree looks at.

    Attributes:
        kind: ``pixels``: the image, made small; ``features``: a layer of the classifier, pooled.
        size: (rows, columns) of the small image.
        layer: Name of the layer; None: the card's last one.
        pooling: ``mean`` or ``max`` over the layer's places.
    """

    kind: Literal["pixels", "features"] = "features"
    size: tuple[int, int] = (32, 32)
    layer: str | None = None
    pooling: Literal["mean", "max"] = "max"


class Fidelity(Section):
    """How well a tree stands for its classifier, on images that neither the tree nor its scale has seen.

    Attributes:
        images: How many.
        agreement: Share with the same side of the limit.
        majority: Share that the classifier's more frequent side alone would get.
        balanced: Mean of the agreement on images that the classifier calls poor and on those that it calls
            good: 0.5 for a tree that always says the same. None where it calls all images one.
        distance: Mean absolute difference of the probabilities.
    """

    images: int
    agreement: Estimate
    majority: float
    balanced: Estimate | None
    distance: Estimate

    def lines(self) -> list[str]:
        """What is told of it, with 95 % intervals by patient."""
        texts = [
            f"on the classifier's side of the limit: {self.agreement} "
            f"(always the more frequent side: {self.majority:.3f})",
            f"difference of the probabilities: {self.distance}",
        ]
        if self.balanced is not None:
            texts.insert(1, f"mean of both sides (always one side: 0.500): {self.balanced}")
        return texts


class TreeCard(ExplainerCard):
    """What is told of a tree.

    Attributes:
        format: Version of this layout.
        classes: Names of the leaves' classes, good and poor.
        targets: Which of the classifier's classes these two are, as a saliency method names them; None: good
            has no class of its own (there are more than two), or poor has several.
        depth: Levels of inner nodes.
        sharpness: The inverse temperature.
        look: What it looks at; the layer has its name.
        inputs: Length of an input.
        threshold: The classifier's limit.
        fidelity: To the classifier.
        reached: Share of the training images whose most probable leaf is each one.
        recipe: The recipe.
    """

    what: ClassVar[str] = "a tree"
    trained_by: ClassVar[str] = "softtree"

    format: Literal[2] = 2
    classes: tuple[str, str]
    targets: tuple[int | None, int | None]
    depth: int = Field(ge=1, le=12)
    sharpness: float = Field(gt=0, allow_inf_nan=False)
    look: TreeInput
    inputs: int = Field(ge=1, le=1 << 22)
    threshold: float = Field(ge=0, le=1)
    fidelity: Fidelity
    reached: tuple[float, ...]
    recipe: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedTree:
    """A tree with its card."""

    tree: SoftTree
    card: TreeCard

    def to(self, dtype: torch.dtype, device: torch.device) -> LoadedTree:
        """The same, of another type or elsewhere; changed in place."""
        return LoadedTree(self.tree.to(device=device, dtype=dtype), self.card)


def _layer_output(network: nn.Module, images: Tensor, layer: str) -> Tensor:
    """A layer's output ``(N, C, h, w)`` for the network's input, with the logits left aside."""
    try:
        module = network.get_submodule(layer)
    except AttributeError:
        raise ModelError("the classifier has no such layer", got=repr(layer)) from None
    kept: list[Any] = []
    thread = threading.get_ident()

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        if threading.get_ident() == thread:  # another thread may use the same network
            kept.append(output.clone() if isinstance(output, Tensor) else output)

    handle = module.register_forward_hook(keep)
    try:
        network(images)
    finally:
        handle.remove()
    output = kept[-1] if kept else None
    if not isinstance(output, Tensor) or output.dim() != 4:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ModelError("a tree needs a layer of feature maps", expected="(N, C, h, w)", got=str(got))
    return output


def tree_input(network: nn.Module, images: Tensor, look: TreeInput) -> tuple[Tensor, Tensor]:
    """What a tree sees of a classifier's inputs ``(N, C, H, W)``.

    Args:
        network: The classifier, in evaluation mode; left as it was.
        images: Prepared images.
        look: What the tree looks at; the layer has its name.

    Returns:
        The tree's inputs ``(N, F)``, and where they come from: the small images ``(N, 1, h, w)``, in the
        network's own scale, or the layer ``(N, C, h, w)``.

    Raises:
        ModelError: The layer does not exist or has no places.
    """
    with torch.no_grad():
        if look.kind == "pixels":
            small = F.adaptive_avg_pool2d(images[:, :1], look.size)
            return small.flatten(1), small
        maps = _layer_output(network, images, str(look.layer))
        return (maps.mean(dim=(2, 3)) if look.pooling == "mean" else maps.amax(dim=(2, 3))), maps


def place_weights(tree: SoftTree, filters: Tensor, source: Tensor, look: TreeInput) -> Tensor:
    r"""What each place of an image adds to a filter's answer, ``(N, h, w)``.

    They sum to :math:`w \cdot (x - \mu)`, with the training images' mean :math:`\mu`: pixels and pooled means
    add where they are, a pooled maximum where it lies; places that share it share alike.

    Args:
        tree: The tree, for its mean.
        filters: ``(N, F)``, one an image; rows of `SoftTree.filters`, or sums of them.
        source: ``(N, C, h, w)``, what `tree_input` gave second.
        look: What the tree looks at.
    """
    mean = cast("Tensor", tree.mean)
    maps = source.to(mean)
    if look.kind == "pixels":
        return filters.reshape(-1, *look.size) * (maps[:, 0] - mean.reshape(look.size))
    weights, change = filters[:, :, None, None], maps - mean[:, None, None]
    if look.pooling == "mean":
        return (weights * change).sum(dim=1) / maps[0, 0].numel()
    highest = maps == maps.amax(dim=(2, 3), keepdim=True)
    return (weights * change * highest / highest.sum(dim=(2, 3), keepdim=True)).sum(dim=1)


def save_tree(folder: Path, tree: SoftTree, card: TreeCard) -> TreeCard:
    """Write a tree; both files appear whole or not at all.

    Returns:
        The card as written, with its hashes.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in tree.state_dict().items()}
    return seal(folder / CARD, card, (folder / WEIGHTS, safetensors.torch.save(tensors)))


def load_tree(folder: str | os.PathLike[str]) -> LoadedTree:
    """Load a tree from the folder that `save_tree` wrote; no code is run.

    Raises:
        BundleError: There is none, or it is broken, changed, or of another version.
    """
    place = Path(folder)
    card = open_card(TreeCard, place / CARD, todo=ADVICE)
    content = open_weights(place / WEIGHTS, card, todo=ADVICE)
    with torch.random.fork_rng(devices=[]):
        tree = SoftTree(card.depth, card.inputs, len(card.classes), card.sharpness)
    try:
        tree.load_state_dict(safetensors.torch.load(content))
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(f"the tree {place} does not fit together", got=str(error)) from error
    return LoadedTree(tree.eval().requires_grad_(False), card)
