"""What a simulator gives: an image whose truth is known exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xiqa.types import Annotation, Image, MaskArray

__all__ = ["Phantom"]


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A simulated image with its truth.

    Attributes:
        image: The image as a reader would give it.
        label: 1 when the image is of poor quality.
        annotations: Every object with its exact mask and tightest box.
        lung_mask: Pixels over the lungs, where the anatomy has them.
        parameters: What it was made with, enough to make it again.
    """

    image: Image
    label: int
    annotations: tuple[Annotation, ...] = ()
    lung_mask: MaskArray | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
