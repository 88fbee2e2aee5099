"""The kinds of result, by the names that the command line and Python call them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from pydicom import uid
from pydicom.errors import BytesLengthException

from xiqa.errors import ConfigError, DicomResultError, MissingDependencyError

if TYPE_CHECKING:
    from pydicom import Dataset

    from xiqa.dicom.case import Case

__all__ = ["DEFAULT", "KINDS", "Kind", "kinds_of"]


# what highdicom and pydicom raise about a source that breaks the standard
_REFUSED = (
    *(ValueError, TypeError, AttributeError, LookupError, OverflowError),
    *(struct.error, BytesLengthException),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of result.

    Attributes:
        name: Short name.
        sop_class: SOP Class UID of the object.
        title: What it is, in DICOM's words.
        what: What it holds.
        builder: Function that makes it, as ``module:name`` in `xiqa.dicom.objects`.
    """

    name: str
    sop_class: uid.UID
    title: str
    what: str
    builder: str

    def build(self, case: Case) -> Dataset | None:
        """Make the object; None where there is nothing to say.

        Raises:
            MissingDependencyError: highdicom is not installed.
            DicomResultError: The case cannot become such an object.
        """
        module, name = self.builder.split(":")
        try:
            function = getattr(import_module(f"xiqa.dicom.objects.{module}"), name)
        except ModuleNotFoundError as error:
            if error.name != "highdicom":
                raise
            raise MissingDependencyError(
                "DICOM results need highdicom", todo='pip install "xiqa[dicom]"'
            ) from error
        try:
            result: Dataset | None = function(case)
        except _REFUSED as error:
            raise DicomResultError(
                f"the image cannot carry a {self.title}",
                code="cannot_build",
                got=f"{type(error).__name__}: {error}"[:300],
            ) from error
        return result


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "sc",
            uid.SecondaryCaptureImageStorage,
            "Secondary Capture Image",
            "the image with heat map, boxes and captions, in colour",
            "secondary_capture:secondary_capture",
        ),
        Kind(
            "sr",
            uid.ComprehensiveSRStorage,
            "Comprehensive SR, TID 1500",
            "quality, problems with probability and limit, regions, algorithm",
            "structured_report:structured_report",
        ),
        Kind(
            "pr",
            uid.GrayscaleSoftcopyPresentationStateStorage,
            "Grayscale Softcopy Presentation State",
            "grey scale as assessed, boxes and peaks in a layer of their own",
            "presentation_state:presentation_state",
        ),
        Kind(
            "ko",
            uid.KeyObjectSelectionDocumentStorage,
            "Key Object Selection, TID 2010",
            "113010 where a person should look; 113001 after a person's decision",
            "key_objects:key_objects",
        ),
        Kind(
            "seg",
            uid.SegmentationStorage,
            "Segmentation, binary",
            "where the heat map is at least half as high as its peak",
            "segmentation:segmentation",
        ),
        Kind(
            "pm",
            uid.ParametricMapStorage,
            "Parametric Map",
            "the heat map's own numbers, for MR",
            "parametric_map:parametric_map",
        ),
    )
}
#: What is made unless told.
DEFAULT = ("sc", "sr", "pr", "ko")


def kinds_of(text: str) -> tuple[str, ...]:
    """Names separated by commas.

    Raises:
        ConfigError: An unknown name, or none.

    >>> kinds_of("sr, sc")
    ('sr', 'sc')
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names or not set(names) <= set(KINDS):
        raise ConfigError("no such DICOM results", expected=", ".join(KINDS), got=text)
    return names
