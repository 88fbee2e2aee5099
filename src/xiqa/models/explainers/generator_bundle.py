"""A folder with trained generators: ``generators.safetensors`` and a card that names their classifier.

Generators explain one classifier and no other. The card holds the hash of its weights, so that a map for a
network that they were not trained for is refused instead of drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import safetensors.torch
import torch
from pydantic import Field
from safetensors import SafetensorError

from xiqa.config import Section
from xiqa.errors import BundleError
from xiqa.models.explainers.card import ExplainerCard
from xiqa.models.explainers.generators import Generators
from xiqa.models.sealed import open_card, open_weights, seal

if TYPE_CHECKING:
    import os

    from torch import nn

__all__ = [
    "Achieved",
    "GeneratorCard",
    "LoadedGenerators",
    "Networks",
    "load_generators",
    "save_generators",
]

CARD, WEIGHTS = "generators.json", "generators.safetensors"
ADVICE = "name the folder that `xiqa train twogenerator` wrote: RUN/bundle"

Share = Annotated[float, Field(ge=0, le=1)]
Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class Networks(Section):
    """How the generators are built; see `xiqa.models.explainers.generators`.

    Attributes:
        count: 2: a similar and an adversarial one; 1: the adversarial one alone.
        width: Channels at the finest level.
        depth: How often the resolution is halved from there.
        output: ``painted``: over what a gate leaves open; ``residual``: the change is drawn; ``direct``: the
            whole image is.
    """

    count: Literal[1, 2] = 2
    width: int = Field(default=12, ge=1, le=1024)
    depth: int = Field(default=3, ge=1, le=6)
    output: Literal["painted", "residual", "direct"] = "painted"


class Achieved(Section):
    """What the generators do on images that they were not trained on.

    Attributes:
        images: How many.
        kept: Share of similar images on which the classifier's verdict stays; None without such a generator.
        flipped: Share of adversarial images on which it turns.
        flipped_poor: The same among images called poor: what is removed.
        change: Mean distance of the pair (or of adversarial image and original), grey values in [0, 1].
    """

    images: int = Field(ge=0)
    kept: Share | None = None
    flipped: Share | None = None
    flipped_poor: Share | None = None
    change: float | None = Field(default=None, ge=0)


class GeneratorCard(ExplainerCard):
    """Everything in a generators' bundle but the weights.

    Attributes:
        format: Version of this layout.
        explained: The class whose verdict is turned; index into the classifier's outputs.
        mean: The classifier's normalisation, one a channel.
        std: Likewise.
        input_size: (rows, columns) of the classifier's input.
        size: (rows, columns) of the images that the generators were trained on.
        networks: How they are built.
        achieved: What they do on validation images.
        recipe: The resolved training recipe.
        versions: Packages that the training ran on.
    """

    what: ClassVar[str] = "generators"
    trained_by: ClassVar[str] = "twogenerator"

    format: Literal[2] = 2
    created: str
    explained: int = Field(ge=0)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: Size
    size: Size
    networks: Networks
    achieved: Achieved
    recipe: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedGenerators:
    """Generators ready to run, with their card.

    Attributes:
        generators: In evaluation mode, float32, frozen.
        card: What they are.
    """

    generators: Generators
    card: GeneratorCard

    def to(self, dtype: torch.dtype, device: torch.device) -> LoadedGenerators:
        """The same, of another type or elsewhere; changed in place."""
        return LoadedGenerators(self.generators.to(device=device, dtype=dtype), self.card)

    def require(self, network: nn.Module) -> None:
        """Refuse a classifier that the generators were not trained for.

        Raises:
            BundleError: The network has other weights.
        """
        self.card.require(network)


def save_generators(folder: Path, generators: Generators, card: GeneratorCard) -> GeneratorCard:
    """Write a bundle; both files appear whole or not at all.

    Args:
        folder: Where; made if needed.
        generators: The generators that ``card.networks`` describes.
        card: Their card; the hashes are filled in here.

    Returns:
        The card as written.

    Raises:
        BundleError: A weight is not finite.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in generators.state_dict().items()}
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise BundleError(
                f"the weight {name} is not finite", todo="train again, at a lower learning rate"
            )
    return seal(folder / CARD, card, (folder / WEIGHTS, safetensors.torch.save(tensors)))


def load_generators(folder: str | os.PathLike[str]) -> LoadedGenerators:
    """Load generators from a folder; every part is checked before it is used, and no code is run.

    Args:
        folder: What `save_generators` wrote.

    Returns:
        The generators.

    Raises:
        BundleError: There is no such bundle, or it is incomplete, changed, or of another version.
    """
    place = Path(folder)
    card = open_card(GeneratorCard, place / CARD, todo=ADVICE)
    content = open_weights(place / WEIGHTS, card, todo=ADVICE)
    networks = card.networks
    with torch.random.fork_rng(devices=[]):
        generators = Generators(networks.count, networks.width, networks.depth, networks.output)
    try:
        generators.load_state_dict(safetensors.torch.load(content))
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(f"the bundle {place} does not fit together", got=str(error)) from error
    return LoadedGenerators(generators.eval().requires_grad_(False), card)
