"""The card of what was trained to explain one classifier, and refuses every other."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from xiqa.errors import BundleError
from xiqa.models.explainers.generators import network_hash
from xiqa.models.sealed import SealedCard

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ExplainerCard"]


class ExplainerCard(SealedCard):
    """What all such cards tell.

    Attributes:
        name: Of the explainer.
        classifier: Name of the bundle that it explains.
        classifier_sha256: `xiqa.models.explainers.generators.network_hash` of its network.
    """

    what: ClassVar[str] = "an explainer"
    trained_by: ClassVar[str] = "RECIPE"

    name: str
    classifier: str
    classifier_sha256: str

    def require(self, network: nn.Module) -> None:
        """Refuse a classifier that this was not trained for.

        Raises:
            BundleError: The network has other weights.
        """
        digest = network_hash(network)
        if digest != self.classifier_sha256:
            raise BundleError(
                f"{self.name!r} was trained for another classifier",
                expected=f"{self.classifier} (weights {self.classifier_sha256[:12]})",
                got=f"{type(network).__name__} (weights {digest[:12]})",
                todo=f"train {self.what} for this one: xiqa train {self.trained_by} --model MODEL",
            )
