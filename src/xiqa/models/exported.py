"""What an exported graph says of itself, in the metadata of the ONNX file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from xiqa.config import Section, faults
from xiqa.errors import BundleError
from xiqa.models.card import BundleCard

__all__ = ["INPUT", "OUTPUTS", "VIEW", "ExportedCard"]

INPUT = "images"
OUTPUTS = ("logits", "probability", "heatmap", "distance")
VIEW = "view_probabilities"
"""Probabilities of the view check, where the model has one."""

_KEY = "xiqa"


class ExportedCard(Section):
    """The card of an exported model.

    Attributes:
        card: The bundle's card.
        method: The saliency method inside the graph.
        guard_limit: Distance from which the guard speaks; None where there is none.
        precision: ``float32``, ``float16`` (weights as stored) or ``int8``.
        layers: Tensors of the layers at which the graph can be cut, by the layers' names.
        xiqa: Version that exported it.
    """

    card: BundleCard
    method: str
    guard_limit: float | None = None
    precision: str = "float32"
    layers: dict[str, str] = Field(default_factory=dict)
    xiqa: str = ""

    def to_metadata(self) -> dict[str, str]:
        """Text by key: the whole card for programs, and what a person looks for first."""
        card = self.card
        return {
            _KEY: self.model_dump_json(exclude_unset=True),  # as the card's hash wants it
            "name": card.name,
            "hash": card.hash,
            "classes": ", ".join(card.classes),
            "poor_class": card.classes[card.poor_class],
            "threshold": f"{card.threshold:.6f}",
            "preprocessing": card.preprocessing.model_dump_json(),
            "heatmap_method": self.method,
            "precision": self.precision,
            "licence": card.licence,
            "not_for": card.not_for,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], file: str) -> ExportedCard:
        """Read what `to_metadata` wrote.

        Raises:
            BundleError: The file was not exported by xiqa, or its card was changed.
        """
        text = metadata.get(_KEY)
        if text is None:
            raise BundleError(
                f"{file} is not a model that xiqa exported",
                expected="a card in its metadata",
                todo="make one with `xiqa export`",
            )
        try:
            content = json.loads(str(text))
            card = BundleCard.opened(content.pop("card"), f"the card of {file}")
            return cls.model_validate({**content, "card": card})
        except ValidationError as error:
            raise BundleError(f"the card of {file} cannot be read", got=faults(error, cls)) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(f"the card of {file} cannot be read", got=str(error)) from None
