"""What bundles share: a card that holds the weights' hash and its own, and files that are whole or absent."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pydantic import ValidationError

from xiqa.config import Section, faults
from xiqa.errors import BundleError
from xiqa.files import regular_bytes, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SealedCard", "card_entries", "open_card", "open_weights", "seal"]

MOST_CARD_BYTES, MOST_WEIGHT_BYTES = 4 << 20, 2 << 30


class SealedCard(Section):
    """A card that notices when it, or the weights it speaks of, were changed.

    Attributes:
        weights_sha256: Of the weights' file.
        card_sha256: Of this card without this entry.
        formerly: Hash of the same card in an older format, under which it goes on; empty in the present one.
    """

    weights_sha256: str = ""
    card_sha256: str = ""
    formerly: str = ""

    def digest(self) -> str:
        """SHA-256 of the card's canonical JSON without its own hash.

        Only entries that the card tells: one that a later release added, with a default, changes no hash.
        """
        return _digest(self.model_dump(mode="json", exclude_unset=True))

    @classmethod
    def upgraded(cls, content: dict[str, Any]) -> dict[str, Any]:
        """A card's entries as this release spells them; kinds whose format has changed override it."""
        return content

    @classmethod
    def opened(cls, content: dict[str, Any], file: str) -> Self:
        """Check a card's entries against their own hash, as they were written, and make a card of them.

        Raises:
            BundleError: They were changed, or are not those of such a card.
        """
        try:
            card = cls.model_validate(cls.upgraded(content))
        except ValidationError as error:
            raise BundleError(
                f"{file} is not a card that this version reads", got=faults(error, cls)
            ) from error
        written = str(content.get("card_sha256", ""))
        _check(f"{file} was changed", written, _digest(content))
        if card.digest() == written:
            return card
        return card.model_copy(update={"formerly": card.formerly or written}).sealed()

    def sealed(self) -> Self:
        """The card with every entry told and its own hash filled in."""
        full = type(self).model_validate(self.model_dump())
        return full.model_copy(update={"card_sha256": full.digest()})


_Card = TypeVar("_Card", bound=SealedCard)


def open_card(kind: type[_Card], path: Path, *, todo: str | None = None) -> _Card:
    """Read a card and check it against its own hash.

    Args:
        kind: What its entries fill.
        path: The file.
        todo: What to do where there is none.

    Raises:
        BundleError: It is absent, unreadable, changed, or of another version.
    """
    return kind.opened(card_entries(_read(path, MOST_CARD_BYTES, todo), str(path)), str(path))


def card_entries(text: str | bytes, file: str) -> dict[str, Any]:
    """A card's entries, unchecked, of its JSON.

    Raises:
        BundleError: It is none, is nested without end, or holds a number that is none.
    """
    try:
        content = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{file} is no card", expected="JSON", got=str(error)) from error
    if not isinstance(content, dict):
        raise BundleError(f"{file} is no card", expected="a JSON object", got=type(content).__name__)
    return content


def _finite(text: str) -> float:
    """A number; JSON knows no others than finite ones."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def open_weights(path: Path, card: SealedCard, *, todo: str | None = None) -> bytes:
    """Read the weights that a card speaks of.

    Raises:
        BundleError: They are absent, unreadable or changed.
    """
    content = _read(path, MOST_WEIGHT_BYTES, todo)
    _check(f"{path} was changed", card.weights_sha256, hashlib.sha256(content).hexdigest())
    return content


def seal(path: Path, card: _Card, weights: tuple[Path, bytes] | None = None) -> _Card:
    """Write a card, and its weights where they are given; each file appears whole or not at all.

    Args:
        path: The card's file; its folder is made if needed.
        card: The hashes are filled in here; without weights, that of the weights is kept.
        weights: Their file and its content.

    Returns:
        The card as written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if weights is not None:
        place, content = weights
        card = card.model_copy(update={"weights_sha256": hashlib.sha256(content).hexdigest()})
        write_atomic(place, content)
    card = card.model_copy(update={"formerly": ""}).sealed()
    text = json.dumps(card.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(path, f"{text}\n".encode())
    return card


def _digest(content: dict[str, Any]) -> str:
    details = {name: value for name, value in content.items() if name != "card_sha256"}
    canonical = json.dumps(details, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _read(path: Path, most: int, todo: str | None) -> bytes:
    """A file's bytes, unless it is absent, too large, or no file that ends."""
    try:
        return regular_bytes(path, most)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise BundleError(f"cannot read {path}", got=reason or str(error), todo=todo) from error


def _check(problem: str, expected: str, got: str) -> None:
    """Compare two hashes."""
    if expected != got:
        raise BundleError(
            problem, expected=f"SHA-256 {expected[:12]}", got=got[:12], todo="get the bundle again"
        )
