"""What an exported graph says of itself, in the metadata of the ONNX file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, ValidationError

from xiqa.config import Section, faults
from xiqa.errors import BundleError
from xiqa.models.card import BundleCard
from xiqa.models.sealed import card_entries

__all__ = ["INPUT", "OUTPUTS", "VIEW", "ExportedCard", "graph_digest"]

INPUT = "images"
OUTPUTS = ("logits", "probability", "heatmap", "distance")
VIEW = "view_probabilities"
"""Probabilities of the view check, where the model has one."""

_KEY = "xiqa"
_METADATA = 14  # number of ModelProto.metadata_props
_LENGTHS = {1: 8, 5: 4}  # bytes of a field by its wire type


class ExportedCard(Section):
    """The card of an exported model.

    Attributes:
        card: The bundle's card.
        method: The saliency method inside the graph.
        guard_limit: Distance from which the guard speaks; None where there is none.
        precision: ``float32``, ``float16`` (weights as stored) or ``int8``.
        layers: Tensors of the layers at which the graph can be cut, by the layers' names.
        xiqa: Version that exported it.
        graph_sha256: Of the graph with its weights; see `graph_digest`.
        sha256: Of all that is told here but this.
    """

    card: BundleCard
    method: str
    guard_limit: float | None = Field(default=None, allow_inf_nan=False)
    precision: str = "float32"
    layers: dict[str, str] = Field(default_factory=dict)
    xiqa: str = ""
    graph_sha256: str = ""
    sha256: str = ""

    def bound_to(self, graph: bytes) -> ExportedCard:
        """The card of this very graph, with both hashes filled in."""
        card = self.model_copy(update={"graph_sha256": graph_digest(graph)})
        return card.model_copy(update={"sha256": _digest(card.to_dict())})

    def check_graph(self, graph: bytes, file: str) -> None:
        """Refuse another graph than the one that the card was written for.

        Raises:
            BundleError: The graph or its weights were changed, or an older version wrote no hash.
        """
        if not self.graph_sha256:
            raise BundleError(
                f"{file} does not say which graph its card is of", todo="export the model again"
            )
        if graph_digest(graph) != self.graph_sha256:
            raise BundleError(
                f"the graph of {file} is not the one that its card is of", todo="export the model again"
            )

    def to_dict(self) -> dict[str, Any]:
        """The entries as JSON knows them, the bundle's card as its own hash wants it."""
        content: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True)
        return content

    def to_metadata(self) -> dict[str, str]:
        """Text by key: the whole card for programs, and what a person looks for first."""
        card = self.card
        return {
            _KEY: json.dumps(self.to_dict(), separators=(",", ":"), allow_nan=False),
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
            content = card_entries(str(text), f"the card of {file}")
            if content.get("sha256", "") != (_digest(content) if "sha256" in content else ""):
                raise BundleError(f"the card of {file} was changed", todo="export the model again")
            card = BundleCard.opened(content.pop("card"), f"the card of {file}")
            return cls.model_validate({**content, "card": card})
        except ValidationError as error:
            raise BundleError(f"the card of {file} cannot be read", got=faults(error, cls)) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(f"the card of {file} cannot be read", got=str(error)) from None


def _digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of the entries as canonical JSON, without the hash itself."""
    details = {name: value for name, value in content.items() if name != "sha256"}
    canonical = json.dumps(details, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def graph_digest(content: bytes) -> str:
    """SHA-256 of what an ONNX file computes: everything in it but its metadata.

    The file is one protobuf message, whose fields follow one another, each with its number; so the metadata
    can be left out without reading the graph, and without the package ``onnx``.

    Raises:
        BundleError: It is no such message.
    """
    digest, view = hashlib.sha256(), memoryview(content)
    for number, start, end in _fields(view):
        if number != _METADATA:
            digest.update(view[start:end])
    return digest.hexdigest()


def _fields(message: memoryview) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field of a message."""
    place = 0
    while place < len(message):
        start = place
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            _, place = _varint(message, place)
        elif kind == 2:
            length, place = _varint(message, place)
            place += length
        elif kind in _LENGTHS:
            place += _LENGTHS[kind]
        else:
            raise BundleError("this is no ONNX file", expected="a protobuf message", got=f"wire type {kind}")
        if place > len(message):
            raise BundleError("this ONNX file is cut off", todo="get it again")
        yield key >> 3, start, place


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise BundleError("this is no ONNX file", expected="a protobuf message", got="a number without an end")
