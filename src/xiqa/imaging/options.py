"""What every reader of a format is asked, what it gives, and how it shows names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from xiqa.imaging.limits import DEFAULT_LIMITS, Limits
from xiqa.types import Image

__all__ = ["Axis", "ReadOptions", "Reader", "printable"]

Axis = Literal["stored", "axial", "coronal", "sagittal"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read.

    Attributes:
        grey: Turn colour into grey.
        axis: Which way a NIfTI volume is sliced.
        limits: What one file may cost.
    """

    grey: bool = False
    axis: Axis = "stored"
    limits: Limits = DEFAULT_LIMITS


class Reader(Protocol):
    """An open file of one format.

    Attributes:
        frames: How many frames or slices it holds.
    """

    frames: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the frames as a series."""

    def __init__(self, path: Path, format: str, options: ReadOptions) -> None: ...

    def read(self, frame: int) -> Image:
        """One frame, ``0 <= frame < frames``."""

    def close(self) -> None:
        """Let go of the file."""


def printable(text: str) -> str:
    r"""The text with control characters and undecodable bytes escaped.

    >>> print(printable("a\nb\udcffc"))
    a\x0ab\xffc
    """
    if text.isprintable():
        return text
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)
