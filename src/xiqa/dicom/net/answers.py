"""What another system says of what it was sent, in its own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from xiqa.dicom.net.instance import Instance

__all__ = ["Answer", "Archive", "File"]


@dataclass(frozen=True, slots=True)
class File:
    """A file to send.

    Attributes:
        path: Where it lies.
        sop_class: SOP Class UID.
        uid: SOP Instance UID.
        transfer_syntax: How it is encoded.
    """

    path: str
    sop_class: str
    uid: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one file.

    Attributes:
        uid: Its SOP Instance UID.
        status: The receiver's status; None where it gave none, so that nobody knows.
        comment: The receiver's own comment, or what happened instead of an answer.
    """

    uid: str
    status: int | None
    comment: str = ""

    @property
    def taken(self) -> bool:
        """Whether the receiver says that it has the object: a success, or one with a warning."""
        return self.status is not None and (self.status == 0 or 0xB000 <= self.status <= 0xBFFF)

    @property
    def may_pass(self) -> bool:
        """Whether the same may be taken another time: no answer, or no room just now."""
        return self.status is None or 0xA700 <= self.status <= 0xA7FF or self.status == 0x0122

    @property
    def word(self) -> str:
        """The status as four digits, or ``none``."""
        return "none" if self.status is None else f"{self.status:04X}"

    @property
    def problem(self) -> str:
        """What went wrong, for a person; empty where nothing did."""
        if self.taken:
            return ""
        refused = "" if self.status is None else f"refused with {self.word}"
        return ": ".join(part for part in (refused, self.comment) if part)

    def __str__(self) -> str:
        status = "no answer" if self.status is None else f"status {self.word}"
        return ": ".join(part for part in (status, self.comment) if part)


class Archive(Protocol):
    """Another system that takes objects."""

    def send(self, files: list[File]) -> list[Answer]:
        """Send files, in one association where there is such a thing; one answer each, never an exception."""

    def fetch(self, wanted: Instance, study: str, series: str) -> Instance | None:
        """Its copy of an object, None where it has none.

        Raises:
            NetworkError: It does not answer.
        """

    def has(self, wanted: Instance, study: str, series: str) -> bool:
        """Whether it says that it has an object.

        Raises:
            NetworkError: It does not answer.
        """

    def echo(self) -> str:
        """Empty when it answers, else what is wrong."""
