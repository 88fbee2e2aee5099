"""What a result is about, and what all results of it have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from xiqa import __version__
from xiqa.dicom.identity import derived_uid
from xiqa.dicom.origin import Origin
from xiqa.errors import DicomResultError
from xiqa.report.rows import worth_a_look
from xiqa.types import Assessment, Decision, Finding, Image

__all__ = ["MANUFACTURER", "NOT_FOR_DIAGNOSIS", "Case", "Series"]

MANUFACTURER = "xiqa"
NOT_FOR_DIAGNOSIS = "AI image quality, not for diagnosis"
_LONGEST = 64  # characters of a long string (LO)


@dataclass(frozen=True, slots=True)
class Series:
    """The series that holds one kind of result.

    Attributes:
        kind: Short name of the kind.
        number: Its number within the study, far from those of a modality.
        description: What a person reads in the list of series.
    """

    kind: str
    number: int
    description: str


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One assessed image with all that goes into its results.

    Attributes:
        origin: The source image.
        assessment: What was found.
        made: When the results are made.
        image: Pixels in display order, for results that show them.
        decision: What a person decided.
    """

    origin: Origin
    assessment: Assessment
    made: datetime
    image: Image | None = None
    decision: Decision | None = None

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What makes the assessment repeatable."""
        return self.assessment.provenance

    @property
    def findings(self) -> Sequence[Finding]:
        """The findings that a person is shown, the same as in the report."""
        return worth_a_look(self.assessment)

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.provenance.get("model", "unknown"))[:_LONGEST]

    @property
    def model_hash(self) -> str:
        """The model's hash, shortened to what an attribute takes."""
        return str(self.provenance.get("model_hash", "unknown"))[:_LONGEST]

    @property
    def version(self) -> str:
        """Version of xiqa that assessed the image."""
        return str(self.provenance.get("xiqa", __version__))[:_LONGEST]

    @property
    def method(self) -> str:
        """Text of the saliency method."""
        return str(self.provenance.get("method", ""))

    def uid(self, *parts: Any) -> str:
        """A UID of this frame under this model, its settings and, where one is given, this decision."""
        settings = [self.provenance.get(key) for key in ("model_hash", "method", "threshold", "review_band")]
        return derived_uid(self.origin.uid, self.origin.frame, settings, self.version, *parts)

    def series_uid(self, series: Series) -> str:
        """One series for each kind of result of one model on one series of images."""
        return derived_uid(str(self.origin.header.SeriesInstanceUID), self.model_hash, series.kind)

    def common(self, series: Series, *parts: Any) -> dict[str, Any]:
        """What every constructor of highdicom takes.

        Args:
            series: The kind of result.
            parts: What tells this object from others of the same kind for the same frame.
        """
        return {
            "series_instance_uid": self.series_uid(series),
            "series_number": series.number,
            "series_description": f"{series.description} ({NOT_FOR_DIAGNOSIS})",
            "sop_instance_uid": self.uid(series.kind, *parts),
            "instance_number": max(1, int(self.origin.header.get("InstanceNumber") or 1)) + self.origin.frame,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": self.model,
            "software_versions": self.version,
            "device_serial_number": self.model_hash,
            "transfer_syntax_uid": ExplicitVRLittleEndian,
            "specific_character_set": self.origin.header.SpecificCharacterSet,
        }

    def dated(self, result: Dataset) -> Dataset:
        """The result with the time that it was made, wherever highdicom wrote the present."""
        day, time = self.made.strftime("%Y%m%d"), self.made.strftime("%H%M%S.%f")
        for name in ("InstanceCreation", "Content", "PresentationCreation"):
            if f"{name}Date" in result:
                setattr(result, f"{name}Date", day)
                setattr(result, f"{name}Time", time)
        if "DateOfSecondaryCapture" in result:
            result.DateOfSecondaryCapture, result.TimeOfSecondaryCapture = day, time
        for equipment in result.get("ContributingEquipmentSequence", ()):
            equipment.ContributionDateTime = f"{day}{time}"
        result.TimezoneOffsetFromUTC = self.made.strftime("%z")[:5]
        return result


def check_same_image(origin: Origin, assessment: Assessment) -> None:
    """An assessment must be one of this very image.

    Raises:
        DicomResultError: ``other_image`` or ``not_assessed``.
    """
    if assessment.probability is None:
        raise DicomResultError(
            "there is no result to tell",
            code="not_assessed",
            expected="an assessed image",
            got=assessment.reason,
        )
    uid = assessment.source.identifiers.get("SOPInstanceUID")
    if uid and uid != origin.uid:
        raise DicomResultError(
            "the assessment is one of another image", code="other_image", expected=origin.uid, got=uid
        )
    if tuple(assessment.image_size) != origin.size:
        raise DicomResultError(
            "the assessment is one of another image",
            code="other_image",
            expected=f"{origin.size[0]} rows and {origin.size[1]} columns",
            got=f"{assessment.image_size[0]} and {assessment.image_size[1]}",
        )
