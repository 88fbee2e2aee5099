"""One labelled image of a data set, told apart from its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from xiqa.errors import ImageReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from xiqa.types import Annotation, Image, Split

__all__ = ["Sample", "by_split"]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image with what is known of it.

    Attributes:
        key: Name that is unique within the data set.
        path: The file; an empty path for an image made in memory.
        label: Index of the class (for two classes, 1 is the poor one).
        split: ``train``, ``val`` or ``test``.
        patient: Who it shows, so that splits and intervals go by patient.
        annotations: The annotated objects.
        surveyed: ``"all"`` when every object in the image is annotated, ``"problems"`` when those that are no
            problem may be missing, ``"none"`` when no object was looked for.
        tags: Further class names, for multi-label sets.
        degree: How bad it is, from 0 to 1, for regression and ordered classes; None where nobody said.
        organ_mask: File with the mask of the organ of interest (lungs), where the set has one.
        source: Gives the image where there is no file (simulated images); None: read `path`.
        site: Where it was acquired: a hospital or a public collection; empty where nobody said.
        size: (rows, columns) of the image that was annotated; None where nobody said.
    """

    key: str
    path: Path
    label: int
    split: Split
    patient: str = ""
    annotations: tuple[Annotation, ...] = ()
    surveyed: Literal["all", "problems", "none"] = "all"
    tags: tuple[str, ...] = ()
    degree: float | None = None
    organ_mask: Path | None = None
    source: Callable[[], Image] | None = field(default=None, repr=False)
    site: str = ""
    size: tuple[int, int] | None = None

    def read(self) -> Image:
        """The image, from its source or its file.

        Raises:
            ImageReadError: It cannot be read, or has another size than the image that was annotated: its
                annotations would lie elsewhere.
        """
        if self.source is not None:
            return self.source()
        from xiqa.imaging import read_image  # noqa: PLC0415 - decoders load only when a file is read

        image = read_image(self.path)
        if self.annotations and self.size is not None and image.size != self.size:
            raise ImageReadError(
                f"{self.key} has another size than the image that was annotated",
                expected="{} x {} pixels (rows x columns)".format(*self.size),
                got="{} x {}".format(*image.size),
                todo="give the image that was annotated, or annotations for this one",
            )
        return image


def by_split(samples: Iterable[Sample], split: Split) -> list[Sample]:
    """The samples of one split, in their order."""
    return [sample for sample in samples if sample.split == split]
