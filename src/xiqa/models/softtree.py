r"""A soft decision tree: inner nodes send an image left or right by a filter, leaves have a distribution.

Nodes are counted from the root, level by level: node i has the children 2i + 1 (left) and 2i + 2 (right).
With the input x, node i goes right with

.. math:: p_i(x) = \sigma\big(\beta\,(x \cdot w_i + b_i)\big),

a leaf is reached with the product of its turns, :math:`P^\ell(x)`, and has a distribution over classes that
does not depend on x, :math:`Q^\ell = \mathrm{softmax}(\phi^\ell)`. Source: ``frosst2017distilling``.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import safetensors.torch
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from xiqa.errors import BundleError, ModelError

if TYPE_CHECKING:
    import os

    from xiqa.models.bundle import LoadedModel

__all__ = [
    "Fidelity",
    "LoadedTree",
    "SoftTree",
    "TreeCard",
    "TreeInput",
    "Turns",
    "film_input",
    "load_tree",
    "place_weights",
    "save_tree",
]

CARD, WEIGHTS = "softtree.json", "softtree.safetensors"
MOST_BYTES = 256 << 20


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
    >>> tree.turns(torch.zeros(1, 5)).leaves.sum().item()
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


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TreeInput(_Section):
    """What a tree looks at.

    Attributes:
        kind: ``pixels``: the film, made small; ``features``: a layer of the classifier, pooled.
        size: (rows, columns) of the small film.
        layer: Name of the layer; None: the card's last one.
        pooling: ``mean`` or ``max`` over the layer's places.
    """

    kind: Literal["pixels", "features"] = "features"
    size: tuple[int, int] = (32, 32)
    layer: str | None = None
    pooling: Literal["mean", "max"] = "max"


class Fidelity(_Section):
    """How well a tree stands for its classifier, on films that neither the tree nor its scale has seen.

    Attributes:
        films: How many.
        agreement: Share with the same side of the limit.
        majority: Share that the classifier's more frequent side alone would get.
        distance: Mean absolute difference of the probabilities.
    """

    films: int
    agreement: float
    majority: float
    distance: float


class TreeCard(_Section):
    """What is told of a tree.

    Attributes:
        name: Of the tree.
        model: Name of the classifier.
        model_hash: Of its weights.
        classes: Names of the leaves' classes.
        depth: Levels of inner nodes.
        sharpness: The inverse temperature.
        look: What it looks at.
        inputs: Length of an input.
        threshold: The classifier's limit.
        fidelity: To the classifier.
        reached: Share of the training films whose most probable leaf is each one.
        recipe: The recipe.
        weights_sha256: Hash of the weights.
    """

    name: str
    model: str
    model_hash: str
    classes: tuple[str, ...]
    depth: int
    sharpness: float
    look: TreeInput
    inputs: int
    threshold: float
    fidelity: Fidelity
    reached: tuple[float, ...]
    recipe: dict[str, Any] = Field(default_factory=dict)
    weights_sha256: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedTree:
    """A tree with its card."""

    tree: SoftTree
    card: TreeCard


def _layer_output(model: LoadedModel, images: Tensor, layer: str) -> Tensor:
    """A layer's output ``(N, C, h, w)`` for the network's input, with the logits left aside."""
    kept: list[Tensor] = []
    handle = model.network.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: kept.append(output.detach().clone())
    )
    try:
        model.network(images)
    finally:
        handle.remove()
    if kept[-1].dim() != 4:
        raise ModelError(
            "a tree needs a layer of feature maps", expected="(N, C, h, w)", got=str(tuple(kept[-1].shape))
        )
    return kept[-1]


def film_input(model: LoadedModel, images: Tensor, look: TreeInput) -> tuple[Tensor, Tensor]:
    """What a tree sees of a classifier's inputs ``(N, C, H, W)``.

    Args:
        model: The classifier, in evaluation mode; left as it was.
        images: Prepared images.
        look: What the tree looks at.

    Returns:
        The tree's inputs ``(N, F)``, and where they come from: the small grey films ``(N, 1, h, w)`` or the
        layer ``(N, C, h, w)``.

    Raises:
        ModelError: The layer does not exist or has no places.
    """
    with torch.no_grad():
        if look.kind == "pixels":
            mean, std = model.card.preprocessing.mean[0], model.card.preprocessing.std[0]
            small = F.adaptive_avg_pool2d(images[:, :1] * std + mean, look.size)
            return small.flatten(1), small
        layer = look.layer or model.card.layers.last
        try:
            maps = _layer_output(model, images, layer)
        except AttributeError:
            raise ModelError("the classifier has no such layer", got=repr(layer)) from None
        pooled = maps.mean(dim=(2, 3)) if look.pooling == "mean" else maps.amax(dim=(2, 3))
        return pooled, maps


def place_weights(tree: SoftTree, node: int, source: Tensor, look: TreeInput) -> Tensor:
    r"""What each place of one image adds to a node's turn to the right, ``(h, w)``.

    They sum to the turn's argument :math:`w_i \cdot x`, the training films' mean taken off: pixels and pooled
    means add where they are, a pooled maximum where it lies.

    Args:
        tree: The tree.
        node: Its inner node.
        source: ``(1, C, h, w)``, what `film_input` gave second.
        look: What the tree looks at.
    """
    weights, mean = tree.filters()[node], cast("Tensor", tree.mean)
    maps = source[0].to(weights)
    if look.kind == "pixels":
        return weights.reshape(look.size) * (maps[0] - mean.reshape(look.size))
    if look.pooling == "mean":
        return (weights[:, None, None] * (maps - mean[:, None, None])).sum(dim=0) / maps[0].numel()
    values, places = maps.flatten(1).max(dim=1)
    out = torch.zeros_like(maps[0]).flatten()
    return out.index_add(0, places, weights * (values - mean)).reshape(maps[0].shape)


def save_tree(folder: Path, tree: SoftTree, card: TreeCard) -> TreeCard:
    """Write a tree; both files appear whole or not at all.

    Returns:
        The card with the weights' hash.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in tree.state_dict().items()}
    content = safetensors.torch.save(tensors)
    sealed = card.model_copy(update={"weights_sha256": hashlib.sha256(content).hexdigest()})
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(sealed.model_dump(mode="json"), indent=1, allow_nan=False)
    for name, whole in ((WEIGHTS, content), (CARD, f"{text}\n".encode())):
        beside = folder / f".{name}.part"
        beside.write_bytes(whole)
        beside.replace(folder / name)
    return sealed


def load_tree(folder: str | os.PathLike[str]) -> LoadedTree:
    """Load a tree from the folder that `save_tree` wrote; no code is run.

    Raises:
        BundleError: There is none, or it is broken.
    """
    place = Path(folder)
    try:
        for name in (CARD, WEIGHTS):
            if (place / name).stat().st_size > MOST_BYTES:
                raise BundleError(f"{place / name} is too large", expected=f"at most {MOST_BYTES} bytes")
        card = TreeCard.model_validate_json((place / CARD).read_bytes())
        content = (place / WEIGHTS).read_bytes()
    except OSError as error:
        raise BundleError(
            f"no tree in {place}",
            got=error.strerror or str(error),
            todo="name the folder that `xiqa train recipes/softtree.toml` wrote: RUN/tree",
        ) from error
    except ValidationError as error:
        raise BundleError(f"{place / CARD} is not the card of a tree", got=str(error.errors()[0])) from error
    if hashlib.sha256(content).hexdigest() != card.weights_sha256:
        raise BundleError(f"{place / WEIGHTS} was changed", todo="train the tree again")
    tree = SoftTree(card.depth, card.inputs, len(card.classes), card.sharpness)
    try:
        tree.load_state_dict(safetensors.torch.load(content))
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(f"the tree {place} does not fit together", got=str(error)) from error
    return LoadedTree(tree.eval().requires_grad_(False), card)
