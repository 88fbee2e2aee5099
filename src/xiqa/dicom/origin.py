"""What a result takes over from its source image: the patient, the study, and how to refer to the image.

Nothing else is copied, so that a de-identified source stays de-identified. What identifies patient, study or
image is taken as it is or refused; any other attribute that breaks the rules of its type is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset, config, uid
from pydicom.datadict import dictionary_VR
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName, validate_value

from xiqa.errors import DicomResultError

__all__ = ["Origin", "origin_of"]

#: Refused when they are there and break their type's rules: an archive files by them.
IDENTIFYING = (
    *("PatientName", "PatientID", "IssuerOfPatientID"),
    *("StudyInstanceUID", "StudyID", "AccessionNumber"),
    *("SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"),
)
#: Must be there.
REQUIRED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Rows", "Columns")
#: Present in every result, empty where the source does not tell.
PRESENT = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
#: Copied where the source tells them.
OPTIONAL = (
    *("IssuerOfPatientID", "PatientAge", "PatientIdentityRemoved", "DeidentificationMethod"),
    *("LongitudinalTemporalInformationModified", "StudyDescription", "Modality"),
    *("BodyPartExamined", "SeriesNumber", "InstanceNumber", "FrameOfReferenceUID", "SamplesPerPixel"),
)
_SEX = {"M", "F", "O"}
_REMOVED = {"YES", "NO"}
_MODIFIED = {"UNMODIFIED", "MODIFIED", "REMOVED"}
_ALLOWED: dict[str, set[str]] = {
    "PatientSex": _SEX,
    "PatientIdentityRemoved": _REMOVED,
    "LongitudinalTemporalInformationModified": _MODIFIED,
}
_UID = re.compile(r"[0-2](\.(0|[1-9]\d*))+", re.ASCII)
# Classes of which no image has frames, whatever it says.
_SINGLE_FRAME = {
    *(uid.ComputedRadiographyImageStorage, uid.CTImageStorage, uid.MRImageStorage),
    *(uid.DigitalXRayImageStorageForPresentation, uid.DigitalXRayImageStorageForProcessing),
    uid.DigitalMammographyXRayImageStorageForPresentation,
    uid.DigitalMammographyXRayImageStorageForProcessing,
    *(uid.UltrasoundImageStorage, uid.SecondaryCaptureImageStorage),
}
_UTF8 = "ISO_IR 192"


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """A source image, reduced to what its results repeat.

    Attributes:
        header: Patient, study and references; all text in Unicode.
        dataset: The whole source data set, for geometry and display.
        frame: Index of the frame that was assessed.
        frames: How many the image holds.
    """

    header: Dataset
    dataset: Dataset
    frame: int = 0
    frames: int = 1

    @property
    def uid(self) -> str:
        """SOP Instance UID."""
        return str(self.header.SOPInstanceUID)

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns)."""
        return int(self.header.Rows), int(self.header.Columns)

    @property
    def frame_numbers(self) -> list[int] | None:
        """The frame as DICOM counts it, from 1; None where the image has no frames to tell apart."""
        return [self.frame + 1] if self.frames > 1 else None


def origin_of(dataset: Dataset, frame: int = 0) -> Origin:
    """The source image of a result.

    Args:
        dataset: The image; its pixels are not looked at.
        frame: Index of the frame that was assessed.

    Raises:
        DicomResultError: ``missing_attribute`` or ``invalid_attribute`` for what identifies patient, study
            or image, ``no_such_frame``.
    """
    header = Dataset()
    for keyword in REQUIRED:
        if not _value(dataset, keyword):
            raise DicomResultError(
                "the source image cannot be referred to", code="missing_attribute", expected=keyword
            )
    for keyword in dict.fromkeys((*REQUIRED, *PRESENT, *OPTIONAL)):
        value = _copied(dataset, keyword)
        if value is not None or keyword in PRESENT:
            setattr(header, keyword, value)
    header.SpecificCharacterSet = _UTF8
    _complete(header)
    frames = _frames(dataset)
    if not 0 <= frame < frames:
        raise DicomResultError(
            "the source image has no such frame",
            code="no_such_frame",
            expected=f"0 to {frames - 1}",
            got=str(frame),
        )
    if frames > 1:
        header.NumberOfFrames = frames
    return Origin(header, dataset, frame, frames)


def _complete(header: Dataset) -> None:
    """What attributes demand of each other."""
    if "SamplesPerPixel" not in header:
        header.SamplesPerPixel = 1
    if header.get("PatientIdentityRemoved") == "YES" and not header.get("DeidentificationMethod"):
        header.DeidentificationMethod = "Not told by the source image"
    if header.get("PatientIdentityRemoved") != "YES" and "DeidentificationMethod" in header:
        del header.DeidentificationMethod


def _frames(dataset: Dataset) -> int:
    """Number of frames, 1 where it is not told or makes no sense."""
    if dataset.get("SOPClassUID") in _SINGLE_FRAME:
        return 1
    try:
        return max(1, int(dataset.get("NumberOfFrames") or 1))
    except (TypeError, ValueError):
        return 1


def _value(dataset: Dataset, keyword: str) -> Any:
    """The attribute's value; None where it is absent, empty or cannot be decoded."""
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError, NotImplementedError, OverflowError, LookupError) as error:
        if keyword in IDENTIFYING:
            raise _invalid(keyword, str(error)) from error
        return None
    return None if value is None or str(value) == "" else value


def _copied(dataset: Dataset, keyword: str) -> Any:
    """The attribute's value for a result; None where it is absent or not fit to be copied."""
    value = _value(dataset, keyword)
    if value is None:
        return None
    convert = _CONVERT.get(dictionary_VR(keyword), str)
    try:
        if isinstance(value, MultiValue | list | tuple) or "\\" in str(value):
            raise ValueError("several values")
        converted = convert(value)
        validate_value(dictionary_VR(keyword), converted, config.RAISE)
        if dictionary_VR(keyword) == "UI" and not _UID.fullmatch(converted):
            raise ValueError(f"{converted!r} is no UID")
        if keyword in _ALLOWED and converted not in _ALLOWED[keyword]:
            raise ValueError(f"{converted!r} is none of {sorted(_ALLOWED[keyword])}")
        if isinstance(converted, str) and ("�" in converted or not converted.isprintable()):
            raise ValueError("characters that are not of its character set")
    except (ValueError, TypeError, OverflowError) as error:
        if keyword in IDENTIFYING or keyword in REQUIRED:
            raise _invalid(keyword, str(error)) from error
        return None
    return converted


def _person(value: Any) -> str:
    """A name in Unicode, whatever character set it was written in."""
    name = str(value if isinstance(value, PersonName) else PersonName(str(value)))
    if any(group.count("^") > 4 for group in name.split("=")):
        raise ValueError("a name of more than five parts")
    return name


def _whole(value: Any) -> str:
    """A whole number of an integer string, with room for the number of a frame."""
    if not 0 <= int(value) < 1 << 30:
        raise ValueError(f"{value} is out of range")
    return str(int(value))


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "PN": _person,
    "US": int,
    "IS": _whole,
}


def _invalid(keyword: str, problem: str) -> DicomResultError:
    return DicomResultError(
        f"the source image's {keyword} cannot be repeated in a result",
        code="invalid_attribute",
        expected=f"a valid {dictionary_VR(keyword)}",
        got=problem[:200],
        todo="correct the image, results would be filed under another patient or study",
    )
